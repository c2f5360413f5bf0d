"""The fused image: two shallow branches at a quarter of the resolution, attention, a decoder at full resolution.

    visible (N, 3, H, W)                     thermal (N, 1, H, W)          RGB and grey, float32, 0 to 1
      │ conv 8×8 stride 4                      │ conv 8×8 stride 4
    (N, 32, H/4, W/4)                        (N, 32, H/4, W/4)
      │ RepConv 3×3                            │ RepConv 3×3
      └───────────────┬──────────────────────┘
            CrossModalAttention   channel gates from both means, then one spatial share a: V·(1−a), T·a
                      │ concatenate, conv 1×1, RepConv 3×3
            (N, 32, H/4, W/4)
                      │ + conv 4×4 stride 4 of (luma, thermal): sub-pixel detail
                      │ conv 1×1, conv 1×1, pixel shuffle ×4
            w = σ(·) (N, 1, H, W), r (N, 1, H, W)

            fused = clip(w · thermal + (1 − w) · luma + r, 0, 1)

Everything but the last line runs at a quarter of the resolution; that is what makes it fast. There is no
InstanceNorm and no per-frame stretching, so the brightness of a static place does not depend on what else moves.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.attention import CrossModalAttention
from vi_fusion_ros.model.layers import ConvNormReLU, RepConv

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma (ITU-R BT.601, as OpenCV's RGB2GRAY)."""

_DETAIL = 32


class FusionDecoder(nn.Module):
    """The network drawn at the top of this file.

    Args:
        branch: channels of each camera's branch.
        blocks: RepConvs in each branch.
        fused: channels after fusion.
    """

    def __init__(self, branch: int, blocks: int, fused: int) -> None:
        super().__init__()
        self.visible_branch = _branch(3, branch, blocks)
        self.thermal_branch = _branch(1, branch, blocks)
        self.attend = CrossModalAttention(branch)
        self.merge = ConvNormReLU(2 * branch, fused, 1)
        self.trunk = RepConv(fused, fused)
        self.detail = nn.Conv2d(2, _DETAIL, 4, 4)
        self.decode = nn.Conv2d(fused + _DETAIL, fused, 1)
        self.subpixels = nn.Conv2d(fused, 32, 1)
        # Start at the mean of the sources: w = 1/2 and r = 0 everywhere.
        nn.init.normal_(self.subpixels.weight, std=1e-3)
        nn.init.zeros_(self.subpixels.bias)  # type: ignore[arg-type]

    def forward(self, visible: Tensor, thermal: Tensor) -> tuple[Tensor, Tensor]:
        """Fused luma and thermal share.

        Args:
            visible: (N, 3, H, W) float32 RGB, 0 to 1; zeros where the camera is missing.
            thermal: (N, 1, H, W) float32, 0 to 1, registered; zeros where the camera is missing. H and W are
                multiples of 4.

        Returns:
            Fused luma and attention w, (N, 1, H, W), 0 to 1.
        """
        features = self.trunk(self.merge(self.attend(self.visible_branch(visible), self.thermal_branch(thermal))))
        grey = luma(visible)
        detail = functional.relu(self.detail(torch.cat((grey, thermal), 1)))
        decoded = functional.relu(self.decode(torch.cat((features, detail), 1)))
        planes = functional.pixel_shuffle(self.subpixels(decoded), 4)
        share = torch.sigmoid(planes[:, :1])
        fused = grey + share * (thermal - grey) + planes[:, 1:]
        clipped = fused.clamp(0, 1)
        if self.training:
            # A pixel out of range keeps a gradient to come back by.
            clipped = clipped + 0.1 * (fused - clipped)
        return clipped, share


def luma(rgb: Tensor) -> Tensor:
    """(N, 3, H, W) RGB to (N, 1, H, W). As sums: run times pad a convolution to one channel up to eight of them."""
    red, green, blue = LUMA
    return red * rgb[:, 0:1] + green * rgb[:, 1:2] + blue * rgb[:, 2:3]


def _branch(channels: int, width: int, blocks: int) -> nn.Sequential:
    stem = ConvNormReLU(channels, width, 8, 4, 2)
    return nn.Sequential(stem, *(RepConv(width, width) for _ in range(blocks)))
