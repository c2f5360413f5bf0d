"""Regions of a thermal image that are clearly hotter than the rest of it, found without a model. NumPy and OpenCV only.

It is a rule about counts: it does not know what is hot. A person, an exhaust and a rock in the sun are alike to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.thermal.radiometry import Radiometry
from vi_fusion_ros.types import Image

MOST = 20
"""Regions of an image."""

LEAST_SHARE, MOST_SHARE = 0.0005, 0.05
"""Of the image: what is smaller may be a defect of the camera, what is larger is a part of the scene."""

LEAST_KELVIN = 2.0
"""Above what is around it, where the radiometry is known."""

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, pixels; the corner of the first pixel is (0, 0)."""

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Rect = tuple[int, int, int, int]
Window = tuple[slice, slice]

# The figures were set on frames of a few thermal cameras, by eye; others were looked at after that.
_SIDE = 160  # pixels of the longer side that it works on: a region of 0.05 % has some 10 of them
_LEAST_KNOWN = 16  # pixels of every fourth
_WINDOW = 3  # the background of a pixel is the median of a window of one third of the longer side
_SIGMA_OF_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
_DEVIATIONS = 6.0  # Hampel's identifier takes 3, for noise; the textures of a scene reach further
_WARM = 0.9  # share of the image that a region is hotter than
_SEEDS = 24  # peaks that are looked at
_LEVELS = (0.35, 0.5, 0.65, 0.8)  # of the height of a peak over its background: where its region may end
_LEAST_FILL = 0.35  # share of its box that a region covers: what covers less is a line, or several things
_LEAST_MIDDLE = 0.7  # median of a region over the height of its peak: below, the peak stands on something else
_LEAST_DROP = 0.7  # share of its height over its surroundings that a region loses right behind its edge: no gradient
_LEAST_MARGIN = 4  # pixels on each side of a region that count as its surroundings
_NEXT, _RIM = np.ones((3, 3), np.uint8), np.ones((9, 9), np.uint8)
_FREE, _UNKNOWN, _NEW, _TAKEN, _LARGE = range(5)


@dataclass(frozen=True, eq=False)
class _Region:
    """Pixels of a reduced image.

    Attributes:
        window: the part of the image with the region.
        inside: the region within ``window``.
        level: counts above which it lies.
        height: counts by which it stands above what is right around it.
        warmth: its median, counts.
    """

    window: Window
    inside: Bools
    level: float
    height: float
    warmth: float


def hot_regions(thermal: Image, mask: Grey, radiometry: Radiometry | None = None) -> list[Box]:
    """The regions that are clearly hotter than what is around them and than nine tenths of the image.

    What each pixel has above the median of a large window around it is compared with how that scatters over the image:
    Hampel's identifier, the median and the median absolute deviation in place of mean and standard deviation (F. R.
    Hampel, "The influence curve and its role in robust estimation", JASA 69, 1974; L. Davies and U. Gather, "The
    identification of multiple outliers", JASA 88, 1993). From the hottest of these pixels a region is grown down to a
    share of its height. It has to be hotter than three quarters of the pixels behind its edge, by as many deviations
    and, where the radiometry is known, by ``LEAST_KELVIN``.

    What is hot and larger than a region may be does not count among the nine tenths: it does not hide what is smaller.

    Args:
        thermal: (H, W) counts, uint8, uint16 or float32; more is hotter.
        mask: (H, W) uint8, 0 where ``thermal`` has no data.
        radiometry: of the counts, None where it is not known.

    Returns:
        At most ``MOST`` boxes, the one that is hottest over its surroundings first; each region covers ``LEAST_SHARE``
        to ``MOST_SHARE`` of the image.
    """
    factor = max(round(max(thermal.shape) / _SIDE), 1)
    small, known = _reduced(thermal, mask, factor)
    sample = np.s_[::2, ::2]  # enough for medians, in a fourth of the time
    values = small[sample][known[sample]]
    if values.size < _LEAST_KNOWN:
        return []
    lower, hinge = _ranked(values, 0.25), _ranked(values, 0.75)
    background = _background(small, values, lower, hinge)
    above = small - background
    centre, deviation = _median_and_deviation(above[sample][known[sample]])
    least = _DEVIATIONS * max(deviation, _step(thermal, values))
    if radiometry is not None:
        least = max(least, radiometry.span(LEAST_KELVIN))
    state = np.pad(np.where(known, _FREE, _UNKNOWN).astype(np.uint8), 1, constant_values=_UNKNOWN)
    hot = (above > centre + least) & (small > hinge) & known
    regions = _regions(small, background, hot, state, least)
    rest = small[sample][known[sample] & (state[1:-1, 1:-1][sample] != _LARGE)]
    warm = max(hinge, _ranked(rest, _WARM)) if regions and rest.size else hinge
    regions = sorted((region for region in regions if region.warmth > warm), key=lambda region: -region.height)
    return [_box(thermal, mask, region, factor) for region in regions[:MOST]]


def _median_and_deviation(values: Floats) -> tuple[float, float]:
    """The median, and what the standard deviation would be if all were normal."""
    centre = _ranked(values, 0.5)
    return centre, _SIGMA_OF_MAD * _ranked(np.abs(values - centre), 0.5)


def _regions(small: Floats, background: Floats, hot: Bools, state: Grey, least: float) -> list[_Region]:
    """The regions around the hottest of the pixels that are ``hot``; see ``_grown``."""
    heat = cv2.blur(small, (3, 3))
    places = np.flatnonzero(hot)
    places = places[np.argsort(-heat.ravel()[places], kind="stable")]
    width, stride = small.shape[1], state.shape[1]
    bordered, flat = (places // width + 1) * stride + places % width + 1, state.reshape(-1)
    regions = []
    for _ in range(_SEEDS):
        bordered = bordered[flat[bordered] == _FREE]
        if not bordered.size:
            break
        row, column = divmod(int(bordered[0]), stride)
        place = row - 1, column - 1
        region = _grown(small, state, place, float(heat[place]), float(background[place]), least)
        if region is not None:
            regions.append(region)
    return regions


def _reduced(thermal: Image, mask: Grey, factor: int) -> tuple[Floats, Bools]:
    """Means of squares of ``factor`` pixels, and where they are known; their median elsewhere."""
    unknown = cv2.countNonZero(mask) < mask.size
    if thermal.dtype == np.float32:
        finite = np.isfinite(thermal)
        if not finite.all():
            mask, unknown = mask * finite, True
    if unknown:
        thermal = np.where(mask != 0, thermal, thermal.dtype.type(0))
    size = (max(thermal.shape[1] // factor, 1), max(thermal.shape[0] // factor, 1))
    cut = np.s_[: size[1] * factor, : size[0] * factor]  # by whole numbers it takes a fraction of the time

    def means(image: Image) -> Floats:
        floats = image[cut].astype(np.float32)
        return floats if factor == 1 else cast(Floats, cv2.resize(floats, size, interpolation=cv2.INTER_AREA))

    small = means(thermal)
    if not unknown:
        return small, np.ones(small.shape, bool)
    share = means((mask != 0).astype(np.uint8))
    known = share > 0.5
    if known.any():
        small = small / np.maximum(share, np.float32(0.5))
        small[~known] = np.median(small[known])
    return small, known


def _background(small: Floats, values: Floats, lower: float, hinge: float) -> Floats:
    """The median of a large window around each pixel, to 1/255 of the range between Tukey's outer fences.

    The fences (J. W. Tukey, "Exploratory Data Analysis", 1977) lie three times the distance of the quartiles beyond
    them: what is hotter is no background. Slopes go on beyond the edge of the image, so that they are background there.
    """
    fence = 3 * (hinge - lower)
    low, high = max(float(values.min()), lower - fence), min(float(values.max()), hinge + fence)
    if not high > low:
        return np.full(small.shape, low, np.float32)
    height, width = small.shape
    half = cv2.resize(small, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
    reach = max(half.shape) // _WINDOW // 2
    beyond = np.pad(half, [(min(reach, side - 1),) * 2 for side in half.shape], "reflect", reflect_type="odd")
    grey = np.rint((beyond.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)
    inner = tuple(slice((of - side) // 2, (of + side) // 2) for of, side in zip(grey.shape, half.shape, strict=True))
    median = cv2.medianBlur(grey, 2 * reach + 1)[inner]
    whole = cv2.resize(median.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return cast(Floats, whole * np.float32((high - low) / 255) + np.float32(low))


def _step(thermal: Image, values: Floats) -> float:
    """A deviation below which nothing is told apart: one count, and what float32 can tell."""
    return max(1e-6 * float(np.abs(values).max()), 1.0 if thermal.dtype.kind == "u" else 1e-12)


def _grown(
    small: Floats, state: Grey, place: tuple[int, int], peak: float, base: float, least: float
) -> _Region | None:
    """The region around a peak, at the lowest of ``_LEVELS`` at which there is one.

    Args:
        small: the reduced image.
        state: of its pixels, with a border of one pixel; what is looked at here is free no more.
        place: row and column of the peak.
        peak: its height, counts.
        base: its background.
        least: counts by which a region has to stand above what is right around it.
    """
    states = state[1:-1, 1:-1]
    states[place] = _TAKEN
    smallest, largest = LEAST_SHARE * small.size, MOST_SHARE * small.size
    flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | _NEW << 8
    for share in _LEVELS:
        level = base + share * (peak - base)
        down = float(small[place]) - level
        if down < 0:  # a single cold pixel in the middle of something hot
            return None
        states[place] = _FREE
        area, _, _, rect = cv2.floodFill(small, state, place[::-1], 0, down, float(np.inf), flags)
        near = _window(rect, 0, small.shape)
        inside = states[near] == _NEW
        if smallest <= area <= largest and area >= _LEAST_FILL * rect[2] * rect[3]:
            warmth = _ranked(small[near][inside], 0.5)
            if warmth - base >= _LEAST_MIDDLE * (peak - base):
                height = _height(small, states, rect, warmth, least)
                if height is not None:
                    states[near][inside] = _TAKEN
                    return _Region(near, inside, level, height, warmth)
        states[near][inside] = _FREE
        if area < smallest:
            break
    states[near][inside] = _LARGE if area > largest else _TAKEN
    return None


def _window(rect: Rect, margin: int, shape: tuple[int, ...]) -> Window:
    """A rectangle and a margin on each side, within the image."""
    left, top, width, height = rect
    return (
        slice(max(top - margin, 0), min(top + height + margin, shape[0])),
        slice(max(left - margin, 0), min(left + width + margin, shape[1])),
    )


def _height(small: Floats, states: Grey, rect: Rect, warmth: float, least: float) -> float | None:
    """Counts from three quarters of the pixels behind the edge of the new region to ``warmth``.

    None where these are fewer than ``least``, or where the region is part of a gradient.
    """
    near = _window(rect, _RIM.shape[0] // 2, small.shape)
    state = states[near]
    new = (state == _NEW).view(np.uint8)
    behind = cv2.dilate(new, _RIM) > cv2.dilate(new, _NEXT)  # those next to it are mixed
    rim = small[near][behind & (state != _UNKNOWN)]
    if not rim.size:
        return None
    height = warmth - _ranked(rim, 0.75)
    if height < least:  # of most regions: what follows looks at many more pixels
        return None
    window = _window(rect, max(rect[2], rect[3], _LEAST_MARGIN), small.shape)
    state = states[window]
    around = small[window][(state != _NEW) & (state != _UNKNOWN)]
    return height if height >= _LEAST_DROP * (warmth - _ranked(around, 0.75)) else None


def _ranked(values: Floats, share: float) -> float:
    """The value that this share of the values is below; a tenth of the time of ``np.quantile`` where they are few."""
    place = int(share * (values.size - 1))
    values = values.copy()
    values.partition(place)
    return float(values[place])


def _box(thermal: Image, mask: Grey, region: _Region, factor: int) -> Box:
    """The box of the pixels of ``thermal`` that are as hot as the region."""
    rows, columns = np.flatnonzero(region.inside.any(1)), np.flatnonzero(region.inside.any(0))
    top, bottom = (int(region.window[0].start + k) * factor for k in (rows[0], rows[-1] + 1))
    left, right = (int(region.window[1].start + k) * factor for k in (columns[0], columns[-1] + 1))
    if factor == 1:
        return float(left), float(top), float(right), float(bottom)
    top, left = max(top - factor, 0), max(left - factor, 0)
    part = np.s_[top : bottom + factor, left : right + factor]
    smooth = cv2.medianBlur(np.ascontiguousarray(thermal[part]), 3)
    # Whole numbers are compared with a whole number: NumPy would make a float64 of each first.
    hot = smooth > (math.floor(region.level) if smooth.dtype.kind == "u" else region.level)
    hot &= mask[part] != 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(hot.view(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not areas.size:
        return float(left), float(top), float(left + hot.shape[1]), float(top + hot.shape[0])
    x, y, width, height, _ = (int(value) for value in stats[1 + int(areas.argmax())])
    return float(left + x), float(top + y), float(left + x + width), float(top + y + height)
