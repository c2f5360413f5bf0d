"""How bright both images are: what tells day from night where the features of perception do not know brightness."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8)
_SHARPNESS = 32.0
_BLOCK = 8  # pixels: means of blocks of 8 by 8
_PACE = 8.0
"""The statistics times this, so that a weight of theirs has an effect after a few hundred steps of Adam."""

STATISTICS = 2 * len(_LEVELS) + 1


class LightStatistics(nn.Module):
    """Share of each image that is brighter than eight levels, and the mean saturation of the visible one."""

    levels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor(_LEVELS).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """(N, 3, h, w) and (N, 1, h, w), 0 to 1, h and w at least 8, to (N, ``STATISTICS``)."""
        color, warm = functional.avg_pool2d(visible, _BLOCK), functional.avg_pool2d(thermal, _BLOCK)
        grey = color.mean(1, keepdim=True)
        shares = [torch.sigmoid((image - self.levels) * _SHARPNESS).mean((2, 3)) for image in (grey, warm)]
        saturation = (color.amax(1) - color.amin(1)).mean((1, 2))[:, None]
        return torch.cat((*shares, saturation), 1) * _PACE
