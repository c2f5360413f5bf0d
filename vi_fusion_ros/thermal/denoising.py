"""Noise of visible cameras in low light: how much of it there is, and an image with less."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

_LEAST_NOISE = 2.0  # grey levels; images with less are left alone
_DIAMETER = 5  # pixels
_RANGE = 3.0  # standard deviations of the noise; larger steps are edges
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def noise_level(grey: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise of an image, (H, W) uint8, grey levels.

    From the median of the differences of two Laplacians (Immerkaer 1996, with Donoho's median in place of the mean, so
    that edges and texture do not count).
    """
    if min(grey.shape) < 3:
        return 0.0
    bent = cv2.filter2D(grey, cv2.CV_32F, _MASK)[1:-1:4, 1:-1:4]
    return float(np.median(np.abs(bent))) * 1.4826 / math.sqrt(float((_MASK**2).sum()))


def denoised(image: Image) -> Image:
    """An image with its noise smoothed away by a bilateral filter as strong as the noise; itself where that is small.

    Args:
        image: (H, W) or (H, W, 3) uint8.
    """
    grey = image if image.ndim == 2 else image[..., 1]
    level = noise_level(np.ascontiguousarray(grey))
    if level < _LEAST_NOISE:
        return image
    return cast(Image, cv2.bilateralFilter(image, _DIAMETER, _RANGE * level, _DIAMETER / 2))
