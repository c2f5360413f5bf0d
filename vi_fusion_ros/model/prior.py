"""What a detector says of either camera's image, put together: where perception starts from."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.layers import ScaleAndShift
from vi_fusion_ros.model.mobilenet import Detection

_NOTHING = -20.0
"""Raw score of every label where a camera is missing."""
_SMALLEST = 0.5  # pixels, of distances


class ObjectPrior(nn.Module):
    """Objects of both cameras: a place has the sum of both chances (odds), and the box of whoever is surer of it.

    Each camera's raw scores are scaled and shifted for each label first: the detector knows no thermal images, and is
    less sure of them.

    Args:
        classes: number of labels C.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.visible, self.thermal = ScaleAndShift(classes), ScaleAndShift(classes)

    def forward(self, objects: tuple[Detection, Detection], there: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Raw scores and distances.

        Args:
            objects: of the visible and of the thermal image.
            there: (N, 1, 1, 1) each, 0 where that camera is missing, else 1.

        Returns:
            (N, C, h, w) raw scores of centres, and (N, 4 C, h, w) distances to the left, upper, right and lower side,
            label by label, pixels of the detector's input, positive.
        """
        seen, warm = (
            calibrate(found.centres) * here + (1 - here) * _NOTHING
            for found, calibrate, here in zip(objects, (self.visible, self.thermal), there, strict=True)
        )
        surer = torch.sigmoid(seen - warm)
        parts = []
        for label in range(surer.shape[1]):
            share = surer[:, label : label + 1]
            parts.append(objects[0].sides * share + objects[1].sides * (1 - share))
        return warm + functional.softplus(seen - warm), torch.cat(parts, 1).clamp_min(_SMALLEST)
