"""What is in the scene: two pretrained branches at half resolution, attention between them, boxes and presence.

visible (N, 3, H/2, W/2)             thermal (N, 1, H/2, W/2)
│ a pretrained backbone, then 1×1     │ the same backbone, 1×1 of its own (branches.py)
32 at H/8, 64 at H/16, 96 at H/32    32 at H/8, 64 at H/16, 96 at H/32
└──────────────┬──────────────────────┘   features of a camera that is missing (all zeros) are zeros
CrossModalAttention at each stride
│ 1×1 convolutions, top down, added (feature pyramid, Lin et al., CVPR 2017)
(N, 96, H/32, W/32) ──> (N, 64, H/16, W/16) ──> (N, 48, H/8, W/8)
│ score map, smooth maximum                 │ RepConv, 1×1
│                                           ├─ C scores of an object's centre (Zhou et al., 2019)
│                                           └─ 4 C distances to the sides of its box
└── presence (N, C) = weighted sum of both maps' smooth maxima
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.attention import CrossModalAttention
from vi_fusion_ros.model.branches import BACKBONES, DetectorBranches, present
from vi_fusion_ros.model.layers import ConvNormReLU, RepConv
from vi_fusion_ros.model.light import LightFeatures
from vi_fusion_ros.model.mobilenet import DEEP_CHANNELS
from vi_fusion_ros.model.mobilenet import STRIDE as DETECTOR_STRIDE
from vi_fusion_ros.model.prior import ObjectPrior

STRIDE = 8
"""Pixels of the network's input in each direction that one place of the object map stands for."""

PYRAMID = (48, 64, 96)
"""Channels of the feature pyramid, the finest first."""

_RARE = 0.01
"""Score of an object's centre in an untrained network, as a probability: most places have none (Lin et al., 2017)."""
_LARGEST_EXPONENT = 4.5
_CENTRES_SHARE = 0.85
"""Share of the object map in presence: on sets that were set aside it is right more often than the score map, which
learns places by heart (docs/model.md)."""


class Perception(NamedTuple):
    """What the perception network returns.

    Attributes:
        from_centres: (N, C) raw presence scores of the object map.
        from_scores: (N, C) raw presence scores of the score map.
        illumination: (N, 2) raw scores of day and night.
        objects: (N, 5 C, H / 8, W / 8): C raw scores that the centre of an object is here; then for each label the
            distances from the middle of this place to the left, upper, right and lower side of its box, pixels of the
            network's input, positive.
    """

    from_centres: Tensor
    from_scores: Tensor
    illumination: Tensor
    objects: Tensor

    @property
    def logits(self) -> Tensor:
        """(N, C) raw presence scores."""
        return _CENTRES_SHARE * self.from_centres + (1 - _CENTRES_SHARE) * self.from_scores


class SmoothMax(nn.Module):
    """Pool a score map to its softmax-weighted mean: between the mean and the maximum, whatever the map's size.

    Shapes: (N, C, h, w) to (N, C).
    """

    def __init__(self, classes: int, sharpness: float) -> None:
        super().__init__()
        # Sharp from the start: a mean over a large frame would teach every place the frame's label.
        self.sharpness = nn.Parameter(torch.full((1, classes, 1), sharpness))

    def forward(self, scores: Tensor) -> Tensor:
        """Weighted mean over h and w."""
        flat = scores.flatten(2)
        return (flat * torch.softmax(flat * self.sharpness, 2)).sum(2)


class PresenceFromMap(nn.Module):
    """A logit of presence from a score map: its smooth maximum, scaled and shifted for each label.

    Shapes: (N, C, h, w) to (N, C).
    """

    def __init__(self, classes: int, sharpness: float) -> None:
        super().__init__()
        self.pool = SmoothMax(classes, sharpness)
        self.scale = nn.Parameter(torch.ones(classes))
        self.shift = nn.Parameter(torch.ones(classes))

    def forward(self, scores: Tensor) -> Tensor:
        """Logits."""
        return self.pool(scores) * self.scale + self.shift


class PerceptionNet(nn.Module):
    """The network drawn at the top of this file.

    Args:
        classes: number of labels C.
        backbone: a name of ``branches.BACKBONES``.
        hidden: share of the channels inside the backbone's blocks that are kept.
        pyramid: channels of the feature pyramid, the finest first.
        together: whether one pass of the backbone sees both cameras; not of ``efficientnet-lite0``.
    """

    def __init__(
        self,
        classes: int,
        backbone: str,
        hidden: float = 1.0,
        pyramid: Sequence[int] = PYRAMID,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.branches = BACKBONES[backbone](hidden, **({"together": True} if together else {}))
        channels = self.branches.channels
        self.attend = nn.ModuleList(CrossModalAttention(count) for count in channels)
        self.lateral = nn.ModuleList(
            ConvNormReLU(2 * count, width, 1) for count, width in zip(channels, pyramid, strict=True)
        )
        fine, middle, coarse = pyramid
        self.coarse = RepConv(coarse, coarse)
        self.middle = RepConv(middle, middle)
        self.fine = nn.Sequential(RepConv(fine, fine), RepConv(fine, fine))
        self.to_middle = ConvNormReLU(coarse, middle, 1)
        self.to_fine = ConvNormReLU(middle, fine, 1)
        self.score = nn.Conv2d(coarse, classes, 1)
        self.centre = nn.Conv2d(fine, classes, 1)
        self.sides = nn.Conv2d(fine, 4 * classes, 1)
        self.presence_of_scores = PresenceFromMap(classes, 4.0)
        self.presence_of_centres = PresenceFromMap(classes, 2.0)
        self.drop = nn.Dropout2d(0.2)
        detects = isinstance(self.branches, DetectorBranches)
        self.prior = ObjectPrior(classes) if detects else None
        self.light = LightFeatures(DEEP_CHANNELS) if detects else None
        self.illuminate = nn.Linear(2 * channels[0] + coarse if self.light is None else sum(self.light.parts), 2)
        if self.prior is None:
            nn.init.constant_(self.centre.bias, math.log(_RARE / (1 - _RARE)))  # type: ignore[arg-type]
        else:
            for part in (self.centre.weight, self.centre.bias, self.sides.bias):
                nn.init.zeros_(part)  # type: ignore[arg-type]
        nn.init.normal_(self.sides.weight, std=1e-3)

    def forward(self, visible: Tensor, thermal: Tensor) -> Perception:
        """Presence, illumination and objects.

        Args:
            visible: (N, 3, H/2, W/2) float32 RGB, 0 to 1, half the network's resolution; zeros where missing.
            thermal: (N, 1, H/2, W/2) float32, likewise. Sides are multiples of 16.
        """
        both = self.branches(visible, thermal)
        there = present(visible), present(thermal)
        seen, warm = (
            [part * here for part in own] for own, here in zip((both.visible, both.thermal), there, strict=True)
        )
        fine, middle, coarse = (
            lateral(attend(v, t)) for lateral, attend, v, t in zip(self.lateral, self.attend, seen, warm, strict=True)
        )
        coarse = self.coarse(coarse)
        middle = self.middle(middle + _twice(self.to_middle(coarse)))
        fine = self.fine(fine + _twice(self.to_fine(middle)))
        centres = self.centre(fine)
        sides = torch.exp(self.sides(fine).clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT))
        if self.prior is None or both.objects is None:
            sides = sides * STRIDE
        else:
            likely, distances = self.prior(both.objects, there)
            centres, sides = centres + likely, sides * distances * (STRIDE / DETECTOR_STRIDE)
        if self.light is None or both.objects is None:
            light = torch.cat([features.mean((2, 3)) for features in (seen[0], warm[0], coarse)], 1)
        else:
            # Day and night of a few places are nothing to train the detector by.
            light = self.light(visible, thermal, both.objects[0].deep.detach(), there)
        return Perception(
            self.presence_of_centres(centres),
            self.presence_of_scores(self.score(self.drop(coarse))),
            self.illuminate(light),
            torch.cat((centres, sides), 1),
        )


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
