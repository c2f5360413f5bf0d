"""Losses of perception: presence, illumination, centres and sides of objects."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional


def presence_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy over the labels that are known, (N, C) each; ``known`` is 0 where a label is unknown."""
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * known).sum() / known.sum().clamp_min(1)


def exclusive_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy between labels for images with exactly one of them (object crops); others do not count."""
    single = target.sum(1) == 1
    if not bool(single.any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits[single], target[single].argmax(1))


def illumination_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the illumination class; ``target`` is (N,) int64, -1 where unknown."""
    if not bool((target >= 0).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, target, ignore_index=-1)


def centre_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Focal loss of the object map (CornerNet, Law and Deng, ECCV 2018), per object.

    Args:
        scores: (N, C, h, w) raw scores.
        target: (N, C, h, w) 1 at centres, falling around them, 0 where nothing is, -1 where that is unknown.
    """
    probability = torch.sigmoid(scores)
    centre = (target == 1).float()
    there = functional.logsigmoid(scores) * (1 - probability) ** 2 * centre
    nothing = functional.logsigmoid(-scores) * probability**2 * (1 - target.clamp_min(0)) ** 4
    nothing = nothing * ((target >= 0) & (target < 1))
    return -(there + nothing).sum() / (centre.sum() + 0.5 * len(scores))


def sides_loss(sides: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 minus the generalised IoU (Rezatofighi et al., CVPR 2019) of boxes that share a point.

    Args:
        sides: (N, 4 C, h, w) distances to the left, upper, right and lower side, pixels, positive.
        target: the same of the objects.
        weight: (N, C, h, w), 0 where there is no object.
    """
    count, classes, height, width = weight.shape
    chosen = weight.flatten() > 0
    if not bool(chosen.any()):
        return sides.sum() * 0
    given, wanted = (
        x.reshape(count, classes, 4, height, width).permute(0, 1, 3, 4, 2).reshape(-1, 4)[chosen].float()
        for x in (sides, target)
    )
    area_a, area_b = ((x[:, 0] + x[:, 2]) * (x[:, 1] + x[:, 3]) for x in (given, wanted))
    inner, outer = torch.minimum(given, wanted), torch.maximum(given, wanted)
    inter = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    hull = (outer[:, 0] + outer[:, 2]) * (outer[:, 1] + outer[:, 3])
    union = area_a + area_b - inter
    overlap = inter / union - (hull - union) / hull
    share = weight.flatten()[chosen]
    return ((1 - overlap) * share).sum() / share.sum()


def relative_distance(given: Iterable[Tensor], wanted: Iterable[Tensor]) -> Tensor:
    """Mean over the parts of their squared distance relative to their own size; 0 for the same."""
    parts = [
        (one - other).square().mean() / other.square().mean().clamp_min(1e-6)
        for one, other in zip(given, wanted, strict=True)
    ]
    return torch.stack(parts).mean()
