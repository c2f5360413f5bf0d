"""Laplacian pyramid: of each level the coefficient of larger magnitude, of the coarsest level the mean.

Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on Communications 31(4), 1983.
Detail of either camera keeps its contrast; brightness is between both.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8

_LEVELS = 4
_SMALLEST = 8  # pixels of the shorter side, below which no level is added

Plane = npt.NDArray[np.float32]


def laplacian(visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse by pyramids of at most four levels."""
    details: list[Plane] = []
    a, b = visible.astype(np.float32), thermal.astype(np.float32)
    while len(details) < _LEVELS and min(a.shape) >= 2 * _SMALLEST:
        (a, detail_a), (b, detail_b) = _split(a), _split(b)
        details.append(np.where(np.abs(detail_a) >= np.abs(detail_b), detail_a, detail_b))
    fused: Any = (a + b) / 2
    for detail in reversed(details):
        fused = cv2.pyrUp(fused, dstsize=detail.shape[::-1]) + detail
    return np.clip(np.rint(fused), 0, 255).astype(np.uint8)


def _split(image: Plane) -> tuple[Plane, Plane]:
    smaller = cv2.pyrDown(image)
    return np.asarray(smaller, np.float32), image - cv2.pyrUp(smaller, dstsize=image.shape[::-1])
