"""``swin``: a small transformer with shifted windows, so that "transformer or convolutions" is answered by a number.

Blocks after Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021. Windows
are shifted by padding the tokens half a window, not around the image, so that no window has to be masked.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WINDOW, _HEADS, _WIDTH, _SHALLOW, _BLOCKS = 8, 4, 48, 16, 4
_MULTIPLE = 2 * _WINDOW  # pixels, of the sides of what the blocks see


class SwinFusion(nn.Module):
    """Both sources together: a convolution, blocks on tokens of 2×2 pixels, and back; added to the mean of both."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Conv2d(2, _SHALLOW, 3, padding=1)
        self.embed = nn.Conv2d(_SHALLOW, _WIDTH, 2, 2)
        self.blocks = nn.ModuleList([_Block(shifted=number % 2 == 1) for number in range(_BLOCKS)])
        self.merge = nn.Conv2d(_SHALLOW + _WIDTH // 4, _SHALLOW, 3, padding=1)
        self.last = nn.Conv2d(_SHALLOW, 1, 3, padding=1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Fused luma, about 0 to 1.

        Args:
            first: (N, 1, H, W), 0 to 1.
            second: the same.
        """
        both = torch.cat((first, second), 1)
        height, width = both.shape[2:]
        padded = functional.pad(both, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE), "replicate")
        shallow = functional.gelu(self.shallow(padded))
        tokens = self.embed(shallow).permute(0, 2, 3, 1)
        for block in self.blocks:
            tokens = block(tokens)
        fine = functional.pixel_shuffle(tokens.permute(0, 3, 1, 2), 2)
        made = self.last(functional.gelu(self.merge(torch.cat((shallow, fine), 1))))
        return both.mean(1, keepdim=True) + made[:, :, :height, :width]


class _Block(nn.Module):
    """Attention within windows of 8×8 tokens and an MLP, each added to its input; tokens (N, h, w, C)."""

    relative: Tensor

    def __init__(self, shifted: bool) -> None:
        super().__init__()
        self.shift = _WINDOW // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.qkv, self.project = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.mlp = nn.Sequential(nn.Linear(_WIDTH, 2 * _WIDTH), nn.GELU(), nn.Linear(2 * _WIDTH, _WIDTH))
        self.places = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, _HEADS))
        axis = torch.arange(_WINDOW)
        row, column = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
        down, right = (at[:, None] - at[None] + _WINDOW - 1 for at in (row, column))
        self.register_buffer("relative", down * (2 * _WINDOW - 1) + right, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self._attended(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))

    def _attended(self, tokens: Tensor) -> Tensor:
        """Each token from those of its window, by how alike they are and where they lie."""
        shift = self.shift
        padded = functional.pad(tokens, (0, 0, shift, shift, shift, shift))
        count, height, width = padded.shape[:3]
        down, across = height // _WINDOW, width // _WINDOW
        windows = padded.reshape(count, down, _WINDOW, across, _WINDOW, _WIDTH).transpose(2, 3)
        parts = self.qkv(windows.reshape(-1, _WINDOW**2, _WIDTH)).reshape(-1, _WINDOW**2, 3, _HEADS, _WIDTH // _HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        place = self.places[self.relative].permute(2, 0, 1)
        share = torch.softmax(query @ key.transpose(-2, -1) * (_WIDTH // _HEADS) ** -0.5 + place, -1)
        made = self.project((share @ value).transpose(1, 2).reshape(-1, _WINDOW**2, _WIDTH))
        image = made.reshape(count, down, across, _WINDOW, _WINDOW, _WIDTH).transpose(2, 3)
        image = image.reshape(count, height, width, _WIDTH)
        return image[:, shift : height - shift, shift : width - shift]
