"""Repairs of what a thermal sensor adds to every image: dead pixels, fixed patterns, stripes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.frames import Image


def without_dead_pixels(image: Image, dead: npt.NDArray[np.bool_]) -> Image:
    """Pixels of a fixed map replaced by the median of their 3x3 neighbourhood, (H, W), same dtype; a new image.

    Args:
        image: (H, W) uint8, uint16 or float32.
        dead: (H, W), True where the sensor is.

    Raises:
        ValueError: the map has another size.
    """
    if dead.shape != image.shape:
        raise ValueError(f"dead pixel map of shape {dead.shape} does not fit the image of {image.shape}")
    repaired = image.copy()
    repaired[dead] = cv2.medianBlur(image, 3)[dead]
    return repaired


def flat_field(frames: list[Image]) -> npt.NDArray[np.float32]:
    """Fixed-pattern offsets from frames of a uniform scene (a lens cap), (H, W) float32 counts; subtract them.

    Raises:
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("a flat field needs at least one frame of a uniform scene")
    mean = np.mean([frame.astype(np.float64) for frame in frames], axis=0)
    return np.asarray(mean - mean.mean(), np.float32)
