"""``fusiondn``: Xu, Ma, Le, Jiang, Guo, "FusionDN: A Unified Densely Connected Network for Image Fusion", AAAI 2020.

Images are (N, 1, H, W) float32, 0 to 1. The authors weigh the sources by their entropy and by deepIQA's quality; the
weights of that network are not to be had, and the mean gradient stands in for it. Features are those of ImageNet's
EfficientNet-Lite0 in place of VGG-16's.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.lite0 import PIXEL_MEAN, PIXEL_SPREAD
from vi_fusion_ros.model.network import luma
from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.losses import sobel
from vi_fusion_ros.training.methods.losses import gaussian, two_focal_planes

_GROWTH, _BLOCKS = 48, 4
_GRADIENT, _FEATURES = 1800.0, 0.02  # of the terms; the latter is ours, for the features are other ones
_SSIM_RADIUS, _SSIM_SIGMA, _C1, _C2 = 5, 1.5, 1e-4, 9e-4
_EPS = 1e-5


class _OwnNorm(nn.Module):
    """BatchNorm that takes the statistics of what it is given, in training and after it, as the authors' does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return functional.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, _EPS)
        mean = x.mean((0, 2, 3), keepdim=True)  # written out, as ONNX has it
        spread = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True).add(_EPS).sqrt()
        return (x - mean) / spread * self.weight[:, None, None] + self.bias[:, None, None]


class _Conv(nn.Module):
    """3×3 convolution with mirrored edges, with or without the norm, and ReLU."""

    def __init__(self, c_in: int, c_out: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3)
        self.norm = _OwnNorm(c_out) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.plain(x)))

    def plain(self, x: Tensor) -> Tensor:
        """The convolution alone."""
        return self.conv(functional.pad(x, (1, 1, 1, 1), "reflect"))


class FusionDn(nn.Module):
    """Dense blocks of both sources together, and a decoder whose first layer is applied twice, as in the authors' code.

    The norms of the authors' dense blocks have untrained statistics, which comes to none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = _Conv(2, _GROWTH, norm=True)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(_Conv(number * _GROWTH, _GROWTH, norm=False), _Conv(_GROWTH, _GROWTH, norm=False))
                for number in range(1, _BLOCKS + 1)
            ]
        )
        wide = (_BLOCKS + 1) * _GROWTH
        self.decoder = nn.ModuleList(
            [_Conv(wide, wide, norm=True), _Conv(wide, 128, norm=True), _Conv(128, 64, norm=True)]
        )
        self.last = _Conv(64, 1, norm=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused luma, 0 to 1.

        Args:
            first: (N, 1, H, W), 0 to 1, at least 2 pixels a side.
            second: the same.
        """
        x = self.first(torch.cat((first, second), 1))
        for block in self.blocks:
            x = torch.cat((x, block(x)), 1)
        x = functional.relu(self.decoder[0].plain(x))  # type: ignore[operator]
        for layer in self.decoder:
            x = layer(x)
        return torch.tanh(self.last.plain(x)) / 2 + 0.5


class Fusion(NamedTuple):
    """One of the tasks that the network learns one after the other.

    Attributes:
        name: of it.
        epochs: its share of the epochs.
        entropy: how much the entropy of a source counts beside its mean gradient.
        softness: what the scores are divided by before they become weights.
    """

    name: str
    epochs: int
    entropy: float
    softness: float


TASKS = (
    Fusion("visible-infrared", 3, 12.0, 13.0),
    Fusion("exposure", 2, 16.0, 7.0),
    Fusion("focus", 4, 11.0, 1.0),
)


def sources(task: Fusion, batch: Augmented, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two images to fuse, which of them is the first one drawn for the batch; exposures and focal planes are made."""
    image = luma(batch.clean_visible)
    if task.name == "visible-infrared":
        pair = image, batch.clean_thermal
    elif task.name == "exposure":
        gain = 2 + 2 * float(torch.rand((), generator=generator))
        pair = image / gain, (image * gain).clamp(max=1)
    else:
        pair = two_focal_planes(image, generator)
    return pair if torch.rand((), generator=generator) < 0.5 else (pair[1], pair[0])


def fusion_terms(
    task: Fusion, fused: Tensor, first: Tensor, second: Tensor, features: nn.Module | None
) -> dict[str, Tensor]:
    """SSIM, features and gradients against both sources, weighted by how much is in each."""
    weights = torch.softmax(torch.stack([_score(task, image) for image in (first, second)]) / task.softness, 0)
    terms = {"ssim": torch.zeros(()), "gradient": torch.zeros(())}
    edges = neighbour_difference(fused)
    seen = features_of(features, fused) if features is not None else ()
    for image, weight in zip((first, second), weights, strict=True):
        terms["ssim"] = terms["ssim"] + (weight * (1 - ssim(image, fused))).mean()
        difference = (neighbour_difference(image) - edges).square().mean((1, 2, 3))
        terms["gradient"] = terms["gradient"] + _GRADIENT * (weight * difference).mean()
        if features is not None:
            with torch.no_grad():
                wanted = features_of(features, image)
            distance = torch.stack([(a - b).square().mean((1, 2, 3)) for a, b in zip(seen, wanted, strict=True)]).mean(
                0
            )
            terms["features"] = terms.get("features", torch.zeros(())) + _FEATURES * (weight * distance).mean()
    return terms


def features_of(features: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """ImageNet features of grey images at four strides, float32."""
    return tuple(tap.float() for tap in features((image.expand(-1, 3, -1, -1) - PIXEL_MEAN) / PIXEL_SPREAD))


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM (N,) with a Gaussian window of 11×11, sigma 1.5, inside the image."""
    planes = torch.cat((first, second, first**2, second**2, first * second), 1)
    with torch.autocast("cpu", enabled=False):  # differences of moments do not survive half precision
        moments = gaussian(planes, _SSIM_RADIUS, _SSIM_SIGMA)
    a, b, aa, bb, ab = moments.unbind(1)
    similarity = (2 * a * b + _C1) * (2 * (ab - a * b) + _C2)
    return (similarity / ((a * a + b * b + _C1) * (aa - a * a + bb - b * b + _C2))).mean((1, 2))


def neighbour_difference(image: Tensor) -> Tensor:
    """Mean of the eight neighbours minus the pixel, zeros around the image."""
    return 9 / 8 * (functional.avg_pool2d(image, 3, 1, 1) - image)


@torch.no_grad()
def _score(task: Fusion, image: Tensor) -> Tensor:
    """How much there is in each image (N,): mean Sobel gradient in levels, and entropy in bits."""
    gradient = 255 * sobel(image).square().sum(1).sqrt().mean((1, 2))
    return gradient + task.entropy * torch.stack([_entropy(one) for one in image])


def _entropy(image: Tensor) -> Tensor:
    share = torch.bincount((image.flatten() * 255).round().long(), minlength=256) / image.numel()
    return -(share * torch.log2(share.clamp_min(1e-12))).sum()
