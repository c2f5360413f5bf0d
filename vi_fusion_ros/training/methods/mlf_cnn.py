"""``mlf-cnn``: the network of ``vi_fusion_ros.methods.mlf_cnn``, and what it learns by.

The losses are those of Ren, He, Girshick, Sun, "Faster R-CNN", NeurIPS 2015. Boxes are (left, upper, right, lower) in
pixels of what the network sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.methods.mlf_cnn import STRIDES
from vi_fusion_ros.model.lite0 import CHANNELS
from vi_fusion_ros.training.datasets.labels import LABELS

WIDTH = 64
"""Channels of the summed maps."""

_SIZES, _SHAPES = (12, 20, 34, 60, 105, 180), (0.8, 2.2)  # square root of the area in pixels; height over width
_ANCHORS = len(_SIZES) * len(_SHAPES)
_PLACE = 8  # pixels between two anchors
_HIDDEN, _POOLED = 128, 7

_CANDIDATES, _PROPOSALS, _NEAR = 1000, 100, 0.7
_MOST_GROWTH = 4.0  # logarithm of the largest side over that of its anchor

_SURE, _NOTHING = 0.5, 0.3  # overlap of an anchor with an object, and with none
_ANCHORS_JUDGED, _PROPOSALS_JUDGED, _HITS = 256, 64, 0.25
_FINER = torch.tensor((10.0, 10.0, 5.0, 5.0))  # the second stage's corrections are as many times smaller


class MlfCnn(nn.Module):
    """Two streams of features, summed; proposals from two of the sums, each pooled from all three."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            [nn.ModuleList([nn.Conv2d(channels, WIDTH, 1) for channels in CHANNELS]) for _ in ("visible", "thermal")]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(8, WIDTH) for _ in STRIDES])
        self.places = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()
        )
        self.objectness = nn.Conv2d(WIDTH, _ANCHORS, 1)
        self.shift = nn.Conv2d(WIDTH, 4 * _ANCHORS, 1)
        self.pooled = nn.Sequential(
            nn.Conv2d(len(STRIDES) * WIDTH, WIDTH, 1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, 2), nn.ReLU(), nn.Flatten()
        )
        self.hidden = nn.Linear(WIDTH * ((_POOLED - 1) // 2) ** 2, _HIDDEN)
        self.label = nn.Linear(_HIDDEN, len(LABELS) + 1)
        self.correction = nn.Linear(_HIDDEN, 4 * len(LABELS))
        for layer in (self.objectness, self.shift, self.correction):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (R, C, 4) of each of C labels, and their probabilities (R, C), of one frame.

        Args:
            features: of the visible image at each of ``STRIDES``, then of the thermal one, (1, channels, h, w) each.
        """
        maps = self.summed(features)
        scores, shifts = self.propose(maps)
        places = proposals(scores, shifts, anchors_of(maps[1]))
        logits, corrections = self.judge(maps, places)
        boxes = moved(places[:, None], corrections / _FINER)
        return boxes, torch.softmax(logits, 1)[:, 1:]

    def summed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The three maps of both cameras, (1, WIDTH, h, w)."""
        count = len(STRIDES)
        return [
            functional.relu(
                self.norms[k](self.streams[0][k](features[k]) + self.streams[1][k](features[count + k]))  # type: ignore[index]
            )
            for k in range(count)
        ]

    def propose(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw score (P,) that there is an object at each anchor, and how it lies from there (P, 4)."""
        coarse = functional.interpolate(maps[2], size=maps[1].shape[2:], mode="nearest")
        seen = self.places(maps[1] + coarse)
        scores, shifts = (layer(seen).permute(0, 2, 3, 1) for layer in (self.objectness, self.shift))
        return scores.reshape(-1), shifts.reshape(-1, 4)

    def judge(self, maps: Sequence[Tensor], places: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, 1 + C) of nothing and of each label, and corrections (R, C, 4), of places (R, 4)."""
        pooled = torch.cat([pool(one, places, stride) for one, stride in zip(maps, STRIDES, strict=True)], 1)
        hidden = functional.relu(self.hidden(self.pooled(pooled)))
        return self.label(hidden), self.correction(hidden).reshape(-1, len(LABELS), 4)


def anchors_of(middle: Tensor) -> Tensor:
    """(P, 4) anchors over the map of stride 8, in the order of ``MlfCnn.propose``."""
    area = torch.tensor(_SIZES, dtype=torch.float32)[:, None]
    tall = torch.tensor(_SHAPES, dtype=torch.float32).sqrt()[None]
    half = torch.stack(((area / tall).flatten(), (area * tall).flatten()), 1) / 2
    base = torch.cat((-half, half), 1)
    down, across = ((torch.arange(middle.shape[axis], dtype=torch.float32) + 0.5) * _PLACE for axis in (2, 3))
    centres = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], 2)
    return (torch.cat((centres, centres), 2)[:, :, None] + base).reshape(-1, 4)


def moved(places: Tensor, shifts: Tensor) -> Tensor:
    """Boxes (…, 4) from places and what ``shift_between`` gives for them."""
    sides = places[..., 2:] - places[..., :2]
    centres = (places[..., :2] + places[..., 2:]) / 2 + shifts[..., :2] * sides
    half = sides * torch.exp(shifts[..., 2:].clamp(max=_MOST_GROWTH)) / 2
    return torch.cat((centres - half, centres + half), -1)


def shift_between(places: Tensor, boxes: Tensor) -> Tensor:
    """Offset of the centres in sides of the place, and logarithm of the ratio of the sides, (N, 4)."""
    old, new = (corners[:, 2:] - corners[:, :2] for corners in (places, boxes))
    offset = (boxes[:, :2] + boxes[:, 2:] - places[:, :2] - places[:, 2:]) / 2
    return torch.cat((offset / old, torch.log(new / old)), 1)


def proposals(scores: Tensor, shifts: Tensor, anchors: Tensor) -> Tensor:
    """The surest places (R, 4), R at most 100, no two of which overlap by more than 0.7.

    Args:
        scores: (P,) raw.
        shifts: (P, 4).
        anchors: (P, 4), at least 1000.
    """
    sure, chosen = scores.topk(_CANDIDATES)
    boxes = moved(anchors[chosen], shifts[chosen])
    return boxes.index_select(0, _Surest.apply(boxes, torch.sigmoid(sure)))


class _Surest(torch.autograd.Function):
    """Indices of the surest boxes, without those that overlap a surer one; ONNX has an operator for it."""

    @staticmethod
    def forward(_ctx: Any, boxes: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        order = scores.argsort(descending=True, stable=True)
        near = overlaps(boxes[order], boxes[order]) > _NEAR
        alive, kept = torch.ones(len(order), dtype=torch.bool), []
        for number in range(len(order)):
            if alive[number]:
                kept.append(number)
                alive &= ~near[number]
            if len(kept) == _PROPOSALS:
                break
        return order[torch.tensor(kept)]

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any) -> Any:
        def constant(value: Tensor) -> Any:
            return g.op("Constant", value_t=value)

        chosen = g.op(
            "NonMaxSuppression",
            g.op("Unsqueeze", boxes, constant(torch.tensor([0]))),
            g.op("Unsqueeze", scores, constant(torch.tensor([0, 1]))),
            constant(torch.tensor([_PROPOSALS])),
            constant(torch.tensor([_NEAR])),
        )
        return g.op("Gather", chosen, constant(torch.tensor(2)), axis_i=1)


def pool(features: Tensor, places: Tensor, stride: int) -> Tensor:
    """A map (1, C, h, w) in each place (R, 4): the mean of four points in each of 7×7 parts, (R, C, 7, 7)."""
    count = 2 * _POOLED
    at = (torch.arange(count, dtype=torch.float32) + 0.5) / count
    size = features.shape[3] * stride, features.shape[2] * stride
    corner, sides = places[:, :2], places[:, 2:] - places[:, :2]
    across, down = ((corner[:, k, None] + at * sides[:, k, None]) / size[k] * 2 - 1 for k in (0, 1))
    grid = torch.stack((across[:, None].expand(-1, count, -1), down[:, :, None].expand(-1, -1, count)), 3)
    taken = functional.grid_sample(
        features, grid.reshape(1, -1, count, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    channels = features.shape[1]
    points = taken.reshape(channels, -1, count, count).permute(1, 0, 2, 3)
    return functional.avg_pool2d(points, 2)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of (N, 4) and (M, 4) boxes: (N, M)."""
    shared = _shared(first, second)
    return shared / (_area(first)[:, None] + _area(second)[None] - shared).clamp_min(1e-6)


def detection_terms(
    network: MlfCnn, features: Sequence[Tensor], boxes: Tensor, labels: Tensor, ignored: Tensor, draw: torch.Generator
) -> dict[str, Tensor]:
    """Losses of one frame.

    Args:
        network: what is trained.
        features: as for ``MlfCnn.forward``.
        boxes: (M, 4) of all objects.
        labels: (M,) indices of ``LABELS``.
        ignored: (K, 4) places that count neither way.
        draw: draws which anchors and proposals are judged.
    """
    maps = [one.float() for one in network.summed(features)]
    scores, shifts = (one.float() for one in network.propose(maps))
    anchors = anchors_of(maps[1])
    best, which = _nearest(anchors, boxes)
    hit = best >= _SURE
    if len(boxes):
        hit[overlaps(anchors, boxes).argmax(0)] = True  # an object that no anchor fits is learned by the nearest
    nothing = (best < _NOTHING) & ~hit & ~_inside(anchors, ignored)
    chosen, hits = _drawn(hit, nothing, _ANCHORS_JUDGED, 0.5, draw)
    terms = {"objectness": functional.binary_cross_entropy_with_logits(scores[chosen], hit[chosen].float())}
    wanted = shift_between(anchors[hits], boxes[which[hits]]) if len(hits) else shifts[:0].detach()
    terms["proposals"] = functional.smooth_l1_loss(shifts[hits], wanted, reduction="sum", beta=0.1) / max(len(hits), 1)

    with torch.no_grad():
        places = torch.cat((proposals(scores, shifts, anchors), boxes))
    best, which = _nearest(places, boxes)
    hit = best >= _SURE
    chosen, hits = _drawn(hit, ~hit & ~_inside(places, ignored), _PROPOSALS_JUDGED, _HITS, draw)
    logits, corrections = (one.float() for one in network.judge(maps, places[chosen]))
    own = torch.zeros(len(chosen), dtype=torch.long)
    own[: len(hits)] = labels[which[hits]] + 1
    terms["labels"] = functional.cross_entropy(logits, own)
    given = corrections[torch.arange(len(hits)), own[: len(hits)] - 1]
    wanted = shift_between(places[hits], boxes[which[hits]]) * _FINER if len(hits) else given.detach()
    terms["corrections"] = functional.smooth_l1_loss(given, wanted, reduction="sum") / len(chosen)
    return terms


def _nearest(places: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The largest overlap of each place with a box, and with which; 0 where there is none."""
    if not len(boxes):
        return torch.zeros(len(places)), torch.zeros(len(places), dtype=torch.long)
    best, which = overlaps(places, boxes).max(1)
    return best, which


def _inside(places: Tensor, ignored: Tensor) -> Tensor:
    """Whether more than half of each place lies in one that counts neither way."""
    if not len(ignored):
        return torch.zeros(len(places), dtype=torch.bool)
    return (_shared(places, ignored).amax(1) / _area(places).clamp_min(1e-6)) > 0.5


def _drawn(hit: Tensor, nothing: Tensor, count: int, share: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of those to judge, the hits first, and of the hits alone; the hits are at most ``share`` of ``count``."""
    hits, others = (torch.nonzero(mask)[:, 0] for mask in (hit, nothing))
    hits = hits[torch.randperm(len(hits), generator=draw)[: int(share * count)]]
    others = others[torch.randperm(len(others), generator=draw)[: count - len(hits)]]
    return torch.cat((hits, others)), hits


def _shared(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clamp_min(0).prod(2)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)
