"""The dual-branch network: two CNN branches, cross-modal attention, a fusion decoder and two classifiers.

    visible (N, 3, H, W)                     thermal (N, 1, H, W)          RGB and grey, float32, 0 to 1
      │ conv 8×8 stride 4                      │ conv 8×8 stride 4
    (N, 32, H/4, W/4)                        (N, 32, H/4, W/4)
      │ RepConv 3×3                            │ RepConv 3×3
      └───────────────┬──────────────────────┘
            CrossModalAttention   channel gates from both means, then one spatial share a: V·(1−a), T·a
                      │ concatenate, conv 1×1, RepConv 3×3
            (N, 32, H/4, W/4) ───────────────────────────────┐
                      │ + conv 4×4 stride 4 of (luma, thermal) │ RepConv stride 2, RepConv
                      │   (N, 32, H/4, W/4): sub-pixel detail  (N, 64, H/8, W/8)
                      │ conv 1×1, conv 1×1                     │ RepConv stride 2, RepConv
            (N, 32, H/4, W/4)                                (N, 96, H/16, W/16)
                      │ pixel shuffle ×4                       ├─ score map (N, C, H/16, W/16), in training
            w = σ(·) (N, 1, H, W), r (N, 1, H, W)              │  held against boxes; smooth maximum → logits (N, C)
                      │                                        └─ mean → illumination (N, 2)
                      │
            fused = clip(w · thermal + (1 − w) · luma + r, 0, 1)

Everything but the last line runs at a quarter of the resolution; that is what makes it fast. There is no
InstanceNorm and no per-frame stretching, so the brightness of a static place does not depend on what else moves.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.layers import ConvNormReLU, RepConv, fold_all

SIZE_MULTIPLE = 16
"""Height and width of the inputs must be multiples of this."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma (ITU-R BT.601, as OpenCV's RGB2GRAY)."""


class FusionOutput(NamedTuple):
    """What the network returns.

    Attributes:
        fused: (N, 1, H, W) luma, 0 to 1.
        attention: (N, 1, H, W) thermal share w of each pixel, 0 to 1.
        logits: (N, C) raw multi-label presence scores, before temperature and sigmoid.
        illumination: (N, 2) raw scores of the illumination classes, before softmax.
    """

    fused: Tensor
    attention: Tensor
    logits: Tensor
    illumination: Tensor


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        classes: number of labels C.
        branch: channels of each modality's branch.
        blocks: RepConvs in each branch.
        fused: channels after fusion.
        middle: channels at stride 8.
        deep: channels at stride 16.
        deep_blocks: RepConvs at stride 16.
        head: ``dense`` (score map and smooth maximum) or ``pooled`` (mean and maximum, flattened, fully connected).
    """

    classes: int = 3
    branch: int = 32
    blocks: int = 1
    fused: int = 32
    middle: int = 64
    deep: int = 96
    deep_blocks: int = 1
    head: str = "dense"

    def __post_init__(self) -> None:
        if self.head not in ("dense", "pooled"):
            raise ValueError(f"network head is {self.head!r}; expected 'dense' or 'pooled'")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return asdict(self)


class CrossModalAttention(nn.Module):
    """Weigh the two modalities' features by channel and by place.

    Channel gates see the means of *both* modalities (squeeze and excitation across them); the spatial share ``a`` is
    a softmax over the two modalities, so what one gains in a place the other loses.

    Shapes: two of (N, C, h, w) to (N, 2C, h, w).

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.squeeze = nn.Conv2d(2 * channels, channels // 2, 1)
        self.excite = nn.Conv2d(channels // 2, 2 * channels, 1)
        self.share = nn.Conv2d(2 * channels, 1, 1)
        nn.init.zeros_(self.share.weight)

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """Gate, share, concatenate (visible first)."""
        both = torch.cat((visible, thermal), 1)
        mean = both.mean((2, 3), keepdim=True)
        gated = both * torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))
        share = torch.sigmoid(self.share(gated))
        return torch.cat((gated[:, : self.channels] * (1 - share), gated[:, self.channels :] * share), 1) * 2


class SmoothMax(nn.Module):
    """Pool a score map to its softmax-weighted mean: between the mean and the maximum, whatever the map's size.

    Shapes: (N, C, h, w) to (N, C).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Sharp from the start: a mean over a large frame would teach every place the frame's label.
        self.sharpness = nn.Parameter(torch.full((1, classes, 1), 4.0))

    def forward(self, scores: Tensor) -> Tensor:
        """Weighted mean over h and w."""
        flat = scores.flatten(2)
        return (flat * torch.softmax(flat * self.sharpness, 2)).sum(2)


class DenseHead(nn.Module):
    """Scores every place, then takes the smooth maximum: a small object in a large frame is not averaged away."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, classes, 1)
        self.pool = SmoothMax(classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, h, w) to (N, classes) and the score map (N, classes, h, w)."""
        places = self.score(features)
        return self.pool(places), places


class PooledHead(nn.Module):
    """Mean and maximum over the map, flattened, two fully connected layers: the method's own classifier."""

    def __init__(self, channels: int, classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * channels, hidden)
        self.out = nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        """(N, channels, h, w) to (N, classes); this head knows no places."""
        pooled = torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)
        return self.out(functional.relu(self.hidden(pooled))), None


class FusionNet(nn.Module):
    """The network drawn at the top of this file.

    Args:
        config: its sizes.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.visible_branch = _branch(3, config)
        self.thermal_branch = _branch(1, config)
        self.attend = CrossModalAttention(config.branch)
        self.merge = ConvNormReLU(2 * config.branch, config.fused, 1)
        self.trunk = RepConv(config.fused, config.fused)
        self.detail = nn.Conv2d(2, 32, 4, 4)
        self.decode = nn.Conv2d(config.fused + 32, config.fused, 1)
        self.subpixels = nn.Conv2d(config.fused, 32, 1)
        self.deepen = nn.Sequential(
            RepConv(config.fused, config.middle, 2),
            RepConv(config.middle, config.middle),
            RepConv(config.middle, config.deep, 2),
            *(RepConv(config.deep, config.deep) for _ in range(config.deep_blocks)),
        )
        head = DenseHead if config.head == "dense" else PooledHead
        self.classify = head(config.deep, config.classes)
        self.illuminate = nn.Linear(config.deep, 2)
        # Start at the mean of the sources: w = 1/2 and r = 0 everywhere.
        nn.init.normal_(self.subpixels.weight, std=1e-3)
        nn.init.zeros_(self.subpixels.bias)  # type: ignore[arg-type]

    def forward(self, visible: Tensor, thermal: Tensor) -> FusionOutput:
        """Fuse and classify.

        Args:
            visible: (N, 3, H, W) float32 RGB, 0 to 1; zeros where the camera is missing.
            thermal: (N, 1, H, W) float32, 0 to 1, registered to ``visible``; zeros where the camera is missing.

        Returns:
            FusionOutput. H and W must be multiples of ``SIZE_MULTIPLE``.
        """
        return self.with_places(visible, thermal)[0]

    def with_places(self, visible: Tensor, thermal: Tensor) -> tuple[FusionOutput, Tensor | None]:
        """As ``forward``, and the dense head's score map (N, C, H/16, W/16), which the logits are pooled from."""
        features = self.trunk(self.merge(self.attend(self.visible_branch(visible), self.thermal_branch(thermal))))
        fused, attention = self._fuse(features, luma(visible), thermal)
        deep = self.deepen(features)
        logits, places = self.classify(deep)
        return FusionOutput(fused, attention, logits, self.illuminate(deep.mean((2, 3)))), places

    def _fuse(self, features: Tensor, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        detail = functional.relu(self.detail(torch.cat((visible, thermal), 1)))
        decoded = functional.relu(self.decode(torch.cat((features, detail), 1)))
        planes = functional.pixel_shuffle(self.subpixels(decoded), 4)
        share = torch.sigmoid(planes[:, :1])
        fused = visible + share * (thermal - visible) + planes[:, 1:]
        clipped = fused.clamp(0, 1)
        if self.training:
            # A pixel out of range keeps a gradient to come back by.
            clipped = clipped + 0.1 * (fused - clipped)
        return clipped, share

    def folded(self) -> FusionNet:
        """A copy in eval mode made of plain convolutions only; same outputs up to rounding."""
        network = copy.deepcopy(self).eval()
        fold_all(network)
        return network


def luma(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) RGB to (N, 1, H, W). As sums: run times pad a convolution to one channel up to eight of them."""
    red, green, blue = LUMA
    return red * rgb[:, 0:1] + green * rgb[:, 1:2] + blue * rgb[:, 2:3]


def _branch(channels: int, config: NetworkConfig) -> nn.Sequential:
    stem = ConvNormReLU(channels, config.branch, 8, 4, 2)
    return nn.Sequential(stem, *(RepConv(config.branch, config.branch) for _ in range(config.blocks)))
