"""Pixel by pixel: the mean and the maximum. What any other method has to beat."""

from __future__ import annotations

import numpy as np

from vi_fusion_ros.methods.base import Gray8


def average(visible: Gray8, thermal: Gray8) -> Gray8:
    """The mean, halves rounded to even."""
    return np.rint((visible.astype(np.float32) + thermal) / 2).astype(np.uint8)


def maximum(visible: Gray8, thermal: Gray8) -> Gray8:
    """The brighter source."""
    return np.maximum(visible, thermal)
