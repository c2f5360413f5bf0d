"""``vif-net``: Hou et al., "VIF-Net: An Unsupervised Framework for Infrared and Visible Image Fusion", TCI 6, 2020.

Images are (N, 1, H, W) float32, 0 to 1.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_WINDOW, _STRIDE = 11, 2  # pixels; every second window in each direction: the same mean for a quarter of the time
_C = 9e-4
_TV = 128 * 128 / 1000  # the paper sums over patches of 128×128 and has M-SSIM weigh 1000


class VifNet(nn.Module):
    """One dense branch for both sources, their features side by side, five convolutions back to an image."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.ModuleList([nn.Conv2d(c, 16, 3, padding=1) for c in (1, 16, 32, 48)])
        sizes = (128, 128, 64, 32, 16, 1)
        self.decoder = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes)])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused luma (N, 1, H, W) in the scale of the sources; its mean brightness is free, for the loss leaves it so.

        Args:
            first: (N, 1, H, W) visible luma, 0 to 1.
            second: the same of the thermal image.
        """
        x = torch.cat((self._features(first), self._features(second)), 1)
        for layer in self.decoder[:-1]:
            x = functional.relu(layer(x))
        return self.decoder[-1](x)

    def _features(self, image: Tensor) -> Tensor:
        """Of all four layers, each of which sees those before it."""
        made = functional.relu(self.branch[0](image))
        for layer in self.branch[1:]:
            made = torch.cat((made, functional.relu(layer(made))), 1)
        return made


def mixed_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> dict[str, Tensor]:
    """M-SSIM and the total variation of what the fused image adds to the visible one, as terms of one loss."""
    return {"m_ssim": 1 - m_ssim(fused, visible, thermal), "tv": _TV * added_variation(fused, visible)}


def m_ssim(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """SSIM without luminance to the source that is brighter in the window, mean over windows of 11×11."""
    planes = torch.cat((fused, visible, thermal), 1)
    f, v, t = planes.split(1, 1)
    moments = functional.avg_pool2d(torch.cat((planes, planes**2, f * v, f * t), 1), _WINDOW, _STRIDE)
    mean_f, mean_v, mean_t, ff, vv, tt, fv, ft = moments.split(1, 1)
    chosen = mean_v > mean_t
    covariance = torch.where(chosen, fv - mean_f * mean_v, ft - mean_f * mean_t)
    variance = torch.where(chosen, vv - mean_v**2, tt - mean_t**2)
    return ((2 * covariance + _C) / (ff - mean_f**2 + variance + _C)).mean()


def added_variation(fused: Tensor, visible: Tensor) -> Tensor:
    """Squared differences of neighbours in ``fused - visible``, both directions, mean over pixels."""
    added = fused - visible
    return added.diff(dim=2).square().mean() + added.diff(dim=3).square().mean()
