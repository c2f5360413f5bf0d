"""``gan``: a reconstruction of the idea of Sulthana and Joseph 2024, whose text and code were not at hand.

The visible image is enhanced as by an unpaired adversarial network (Jiang et al., "EnlightenGAN: Deep Light Enhancement
Without Paired Supervision", IEEE TIP 30, 2021), then fused by another one (Ma et al., "FusionGAN: A generative
adversarial network for infrared and visible image fusion", Information Fusion 48, 2019) of a quarter of its width. What
brightens is a curve for each pixel (Guo et al., "Zero-Reference Deep Curve Estimation", CVPR 2020), not a U-Net.
Images are (N, 1, H, W) float32, 0 to 1.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_REACH = 6  # pixels that the generator's layers take off each side
_CURVES = 4
_SLOPE = 0.2
_CONTENT, _GRADIENT = 100.0, 5.0


class GanFusion(nn.Module):
    """Brightens the visible image where a curve for each pixel says so, and fuses it with the thermal one."""

    def __init__(self) -> None:
        super().__init__()
        self.curve = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=4, dilation=4),
        )
        layers: list[nn.Module] = []
        for (c_in, c_out), kernel in zip(pairwise((2, 64, 32, 16, 8)), (5, 5, 3, 3), strict=True):
            layers += [nn.Conv2d(c_in, c_out, kernel), nn.BatchNorm2d(c_out, momentum=0.1), nn.LeakyReLU(_SLOPE)]
        self.generator = nn.Sequential(*layers, nn.Conv2d(8, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused luma, 0 to 1.

        Args:
            first: (N, 1, H, W) visible luma, 0 to 1.
            second: the same of the thermal image.
        """
        return self.fused(self.enhanced(first), second)

    def enhanced(self, visible: Tensor) -> Tensor:
        """The visible image, 0 to 1, brightened or darkened by curves that keep black and white."""
        strength = torch.tanh(self.curve(visible))
        for _ in range(_CURVES):
            visible = visible + strength * visible * (1 - visible)
        return visible

    def fused(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """Fuse an enhanced image."""
        both = functional.pad(2 * torch.cat((thermal, visible), 1) - 1, (_REACH,) * 4, "replicate")
        return torch.tanh(self.generator(both)) / 2 + 0.5


class Judge(nn.Module):
    """How real images look, (N,)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise((1, 16, 32, 64, 128)):
            layers += [nn.Conv2d(c_in, c_out, 3, 2, 1), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(128, 1)

    def forward(self, image: Tensor) -> Tensor:
        """About 1 for real ones, about 0 for others."""
        return self.last(self.layers(2 * image - 1).mean((2, 3)))[:, 0]


def content_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """Thermal intensity and visible detail, as FusionGAN weighs them; of images from -1 to 1."""
    detail = _laplacian(2 * (fused - visible))
    return _CONTENT * ((2 * (fused - thermal)).square().mean() + _GRADIENT * detail.square().mean())


def structure_loss(made: Tensor, given: Tensor) -> Tensor:
    """1 minus the correlation of both in windows of 8×8, mean over the windows of ``given`` that have contrast."""
    moments = functional.avg_pool2d(torch.cat((made, given, made**2, given**2, made * given), 1), 8, 4)
    a, b, aa, bb, ab = moments.split(1, 1)
    correlation = (ab - a * b) / ((aa - a * a).clamp_min(0) * (bb - b * b).clamp_min(0) + 1e-8).sqrt()
    there = (bb - b * b > 1e-5).float()
    return ((1 - correlation) * there).sum() / there.sum().clamp_min(1)


def darken(image: Tensor, generator: torch.Generator) -> Tensor:
    """As in little light: a gain of 0.15 to 1 and noise, drawn for each image."""
    gain = 0.15 + 0.85 * torch.rand((len(image), 1, 1, 1), generator=generator)
    return (gain * image + 0.01 * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def _laplacian(image: Tensor) -> Tensor:
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).expand(1, 1, 3, 3)
    return functional.conv2d(image, kernel.to(image.dtype))
