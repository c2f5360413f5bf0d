"""Attention between the two cameras' features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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
