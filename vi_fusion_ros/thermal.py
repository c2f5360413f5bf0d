"""Thermal images to the 8 bit that the network sees, without flicker."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.frames import Image

ToneMapping = Literal["percentile", "range"]

_PERCENTILES = (1.0, 99.0)
_SMOOTHING = 0.1  # share of the newest image in the range in force
_MIN_SPAN = {"uint16": 100.0, "float32": 1.0}  # 1 K in counts of 0.01 K, or in kelvin: a blank scene stays blank
_STRIDE = 3  # percentiles of every ninth pixel: within a count or two, at a ninth of the time


class ToneMapper:
    """Maps 16-bit counts and float temperatures linearly to 8 bit; 8-bit images pass as they are.

    Two steps, so that the range is taken from the camera's whole image and applied to the registered one: ``observe``,
    then ``apply``.

    Args:
        kind: ``percentile`` follows the 1 % to 99 % range of the scene, smoothed from image to image, so that a warm
            object that comes into view does not make the rest flicker; ``range`` is fixed.
        limits: (low, high) of ``range``, in the units of the image.

    Raises:
        ValueError: ``limits`` are not two finite numbers in rising order.
    """

    def __init__(self, kind: ToneMapping = "percentile", limits: tuple[float, float] = (0.0, 65535.0)) -> None:
        low, high = limits
        if kind == "range" and not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ValueError(f"the range of tone mapping is {low} to {high}; expected a low end below the high end")
        self._kind, self._limits = kind, (float(low), float(high))
        self._in_force: tuple[float, float] | None = None

    def reset(self) -> None:
        """Forget the images seen; the next one sets the range at once."""
        self._in_force = None

    def observe(self, image: Image) -> None:
        """Take the range of the next ``apply`` from an image.

        Args:
            image: (H, W) uint8, uint16 or float32; values of a float image that are not finite are left out.

        Raises:
            ValueError: another dtype, or a float image without any finite value.
        """
        if image.dtype == np.uint8:
            return
        if image.dtype.name not in _MIN_SPAN:
            raise ValueError(f"a thermal image of {image.dtype} cannot be used; expected uint8, uint16 or float32")
        if self._kind == "range":
            self._in_force = self._limits
            return
        sample = image[::_STRIDE, ::_STRIDE]
        if image.dtype == np.float32:
            sample = sample[np.isfinite(sample)]
            if not sample.size:
                raise ValueError("a thermal image without any finite value cannot be used")
        low, high = (float(value) for value in np.percentile(sample, _PERCENTILES))
        missing = _MIN_SPAN[image.dtype.name] - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
        if self._in_force is not None:
            low, high = (
                before + _SMOOTHING * (now - before) for before, now in zip(self._in_force, (low, high), strict=True)
            )
        self._in_force = low, high

    def apply(self, image: Image) -> npt.NDArray[np.uint8]:
        """Map an image by the range in force.

        Args:
            image: (H, W), dtype of the image observed last.

        Returns:
            (H, W) uint8; the low end of the range is 0, the high end 255, what lies outside is clipped.
        """
        if image.dtype == np.uint8:
            return image  # type: ignore[return-value]
        assert self._in_force is not None, "observe() comes first"
        low, high = self._in_force
        if image.dtype == np.uint16:  # saturating steps: what lies below the range becomes 0
            low = round(low)
            above = cv2.subtract(image, max(low, 0)) if low >= 0 else cv2.add(image, -low)
            return cv2.convertScaleAbs(above, alpha=255.0 / (high - low))  # type: ignore[return-value]
        scaled = (image - np.float32(low)) * np.float32(255.0 / (high - low))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def fill_invalid(image: Image) -> Image:
    """``image`` with each value that is not finite replaced by the lowest finite one; the same array where all are.

    Args:
        image: (H, W), any dtype.

    Raises:
        ValueError: a float image without any finite value.
    """
    if image.dtype.kind != "f":
        return image
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        raise ValueError("a thermal image without any finite value cannot be used")
    return np.where(finite, image, image[finite].min())
