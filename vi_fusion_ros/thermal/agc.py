"""Thermal images of any depth to the 8 bits that the network sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.thermal.local_range import LocalRange
from vi_fusion_ros.types import Image

_PERCENTILES = (0.5, 99.5)
_SAMPLES = 20_000  # pixels that percentiles are estimated from; their error is far below one grey level
_SMOOTHING = 0.1  # share of the newest frame in the levels: a step settles within about a second at 30 Hz
_PLATEAU = 3.0  # a level counts at most this many times its even share


class ToneMapper:
    """Maps thermal images to uint8: linear between two levels, clipped beyond them; or with more contrast than that.

    8-bit images pass as they are: the camera has tone mapped them already. The levels of uint16 and float32 images are
    either fixed or follow the 0.5 and 99.5 % percentiles of the scene, smoothed over the frames so that the picture
    does not flicker; the first frame after ``reset()`` sets them at once.

    Args:
        method: ``percentile``, ``range``, ``plateau`` or ``local``. ``plateau``: between the percentiles' levels as
            often-seen levels need it, none more than three times its even share, so that a plain sky does not take all
            of the contrast. It works on uint16; float32 images are mapped as by ``percentile``. ``local``: linear
            between levels of each part of the image (``local_range``); ``render`` follows them, once a frame.
        value_range: low and high level of ``range``, in the image's own units (counts, or kelvin for float32).
            Integer images use the levels rounded to whole counts.
        min_span: least distance of the levels that follow the scene, in the image's own units: a blank scene is not
            stretched until its noise fills the picture. 1 K where the unit is known: ``Radiometry.span(1)``.

    Raises:
        ValueError: an unknown method, or levels that are not finite and ascending.
    """

    def __init__(
        self, method: str = "percentile", value_range: tuple[float, float] = (0.0, 65535.0), min_span: float = 0.0
    ) -> None:
        if method not in ("percentile", "range", "plateau", "local"):
            raise ValueError(f"tone mapping '{method}' is unknown; expected percentile, range, plateau or local")
        if not (math.isfinite(min_span) and min_span >= 0):
            raise ValueError(f"tone mapping min_span {min_span} is wrong; expected 0 or more")
        low, high = value_range
        if method == "range" and not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"tone mapping range [{low}, {high}] is wrong; expected two finite numbers, low then high")
        self._method = method
        self._fixed = (float(low), float(high))
        self._min_span = min_span
        self._levels: tuple[float, float] | None = None
        self._local = LocalRange(_SMOOTHING)
        self._curve: npt.NDArray[np.float32] | None = None  # of plateau equalisation: 65536 grey levels

    def __call__(self, image: Image) -> npt.NDArray[np.uint8]:
        """Take the levels from ``image`` and map it.

        Args:
            image: (H, W) uint8, uint16 or float32.

        Returns:
            (H, W) uint8; ``image`` itself where it is uint8.

        Raises:
            ValueError: another dtype or shape, or no finite pixel.
        """
        self.observe(image)
        return self.render(image)

    def observe(self, image: Image) -> None:
        """Let the levels follow ``image``, (H, W); pixels that are not finite take no part.

        Raises:
            ValueError: as ``__call__``.
        """
        _check(image)
        if image.dtype == np.uint8 or self._method == "range":
            return
        levels = _widened(_percentiles(image), self._min_span)
        if self._method == "plateau" and image.dtype == np.uint16:
            curve = _plateau_curve(image, levels, spread=self._min_span > 0)
            if self._curve is not None:
                curve = self._curve + np.float32(_SMOOTHING) * (curve - self._curve)
            self._curve = curve
        if self._levels is not None:
            levels = (_follow(self._levels[0], levels[0]), _follow(self._levels[1], levels[1]))
        self._levels = levels

    def render(self, image: Image) -> npt.NDArray[np.uint8]:
        """Map an image by the levels as they are, for example the observed one after it was registered.

        Args:
            image: (H, W) uint8, uint16 or float32. NaN becomes 0, infinity the end that it lies at.

        Raises:
            ValueError: another dtype or shape, or ``observe`` has not been called.
        """
        _check(image)
        if image.dtype == np.uint8:
            return cast("npt.NDArray[np.uint8]", image)
        levels = self.levels(image)
        if self._method == "local":
            return self._local.render(image, levels, self._min_span)
        if self._curve is not None and image.dtype == np.uint16:
            return np.take(self._curve.astype(np.uint8), image, mode="clip")  # "clip" skips a check of each index
        return _stretch(image, *levels)

    def levels(self, image: Image) -> tuple[float, float]:
        """The counts of ``image`` between which it is mapped, low then high; 0 and 255 for uint8.

        Raises:
            ValueError: as ``render``.
        """
        _check(image)
        if image.dtype == np.uint8:
            return 0.0, 255.0
        levels = self._fixed if self._method == "range" else self._levels
        if levels is None:
            raise ValueError("tone mapping has no levels yet; observe an image first")
        return levels

    def reset(self) -> None:
        """Forget the scene, as at a cut or a jump in time."""
        self._levels = None
        self._curve = None
        self._local.reset()

    def memory(self) -> dict[str, Any]:
        """What is remembered of the scene: numbers and arrays."""
        return {"levels": self._levels, "curve": self._curve, "local": self._local.memory()}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on where the one with this ``memory`` is."""
        self._levels, self._curve = memory["levels"], memory["curve"]
        self._local.recall(memory["local"])


def _widened(levels: tuple[float, float], least: float) -> tuple[float, float]:
    low, high = levels
    if high - low >= least:
        return levels
    middle = (low + high) / 2
    return middle - least / 2, middle + least / 2


def _plateau_curve(image: Image, levels: tuple[float, float], spread: bool) -> npt.NDArray[np.float32]:
    """Grey level of each count, (65536,), 0 to 255: the summed histogram with its bars cut at a plateau."""
    step = max(1, int(math.sqrt(image.size / _SAMPLES)))
    low, high = max(round(levels[0]), 0), min(max(round(levels[1]), round(levels[0]) + 1), 65535)
    low = min(low, high - 1)
    bars = np.bincount(image[::step, ::step].ravel(), minlength=65536)[low : high + 1].astype(np.float32)
    np.minimum(bars, _PLATEAU * max(float(bars.sum()), 1.0) / len(bars), out=bars)
    if spread:  # what is left over is spread evenly, so that a narrow scene stays as narrow as it is
        bars += bars.max() / _PLATEAU
    total = np.cumsum(bars)
    curve = np.zeros(65536, np.float32)
    curve[low : high + 1] = total * (255 / max(float(total[-1]), 1e-9))
    curve[high + 1 :] = 255
    return curve


def _check(image: Image) -> None:
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ValueError(
            f"image of shape {image.shape} and type {image.dtype} cannot be tone mapped; expected one channel of "
            "uint8, uint16 or float32"
        )
    if image.size == 0:
        raise ValueError("an image without pixels cannot be tone mapped")


def _follow(old: float, new: float) -> float:
    return old + _SMOOTHING * (new - old)


def _percentiles(image: Image) -> tuple[float, float]:
    step = max(1, int(math.sqrt(image.size / _SAMPLES)))
    sample = image[::step, ::step]
    if image.dtype == np.uint16:
        cumulative = np.cumsum(np.bincount(sample.ravel()))
        low, high = np.searchsorted(cumulative, [q / 100 * cumulative[-1] for q in _PERCENTILES])
        return float(low), float(high)
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        finite = image[np.isfinite(image)]  # the few pixels that are left may lie between the samples
    if not finite.size:
        raise ValueError("float image without a finite pixel; expected temperatures or counts")
    low, high = np.percentile(finite, _PERCENTILES)
    return float(low), float(high)


def _stretch(image: Image, low: float, high: float) -> npt.NDArray[np.uint8]:
    if image.dtype == np.uint16:
        low, high = min(max(round(low), 0), 65535), round(high)
        high = max(high, low + 1)
        above = np.maximum(image, np.uint16(low))
        above -= np.uint16(low)
    else:
        high = max(high, low + 1e-6 * max(abs(low), 1.0))
        above = np.fmin(np.fmax(image, np.float32(low)), np.float32(high))  # fmax takes the number where one is NaN
        above -= np.float32(low)
    # Nothing is below 0 here, so the absolute value that OpenCV takes changes nothing.
    return cast("npt.NDArray[np.uint8]", cv2.convertScaleAbs(above, alpha=255.0 / (high - low)))
