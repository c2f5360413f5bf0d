"""What tells day from night: how bright both images are, and what the visible one shows.

How bright images are does not tell a shaded court from a lit street, and what they show does not tell a place by day
from the same one by night. Both together are right where either alone is wrong (docs/model.md). The thermal image alone
tells nothing.
"""

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
_OF_VISIBLE = [*range(len(_LEVELS)), STATISTICS - 1]
"""Those of the visible image."""

_UNBOUNDED = 1e4  # an infinite one would make the averaged weights of a run NaN


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


class LightFeatures(nn.Module):
    """What the layer that tells day from night reads of a pair.

    Its parts, by ``parts``: features of the visible image; statistics of both; statistics of the visible image where
    the thermal one is missing; and one number for each of these two cases, 1 where it is the case, which the fit uses
    in place of a bias. Where the visible image is missing everything is zero. Each feature is held between ``low``
    and ``high``: a place that is far from all that the layer was fitted to should not count for more than those.

    Args:
        channels: C, of the features of the visible image.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.statistics = LightStatistics()
        self.parts = (channels, STATISTICS, len(_OF_VISIBLE), 1, 1)
        count = sum(self.parts)
        self.low, self.high = (nn.Parameter(torch.empty(count), requires_grad=False) for _ in range(2))
        self.unbind()

    @torch.no_grad()
    def unbind(self) -> None:
        """Hold no feature any more."""
        self.low.fill_(-_UNBOUNDED)
        self.high.fill_(_UNBOUNDED)

    def forward(self, visible: Tensor, thermal: Tensor, shown: Tensor, there: tuple[Tensor, Tensor]) -> Tensor:
        """Of a batch, (N, sum of ``parts``).

        Args:
            visible: (N, 3, h, w), 0 to 1; zeros where missing.
            thermal: (N, 1, h, w), likewise.
            shown: (N, C, h', w') features of the visible image.
            there: (N, 1, 1, 1) each, 1 where the visible, the thermal image is there, else 0.
        """
        seen, warm = (flag[:, :, 0, 0] for flag in there)
        both, alone = seen * warm, seen * (1 - warm)
        bright = self.statistics(visible, thermal)
        parts = (shown.mean((2, 3)), bright, bright[:, _OF_VISIBLE], both, alone)
        counts = zip((seen, both, alone, seen, seen), self.parts, strict=True)
        held = torch.minimum(torch.maximum(torch.cat(parts, 1), self.low), self.high)
        return held * torch.cat([flag.expand(-1, count) for flag, count in counts], 1)
