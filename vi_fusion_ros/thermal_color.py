"""The thermal image as an operator knows it: a palette, linear in the counts, with a legend. Free of ROS."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import FusionResult, Image

PALETTES = ("white_hot", "black_hot", "ironbow")
"""Names of the palettes, as of ``output.thermal_palette``."""

_NO_DATA = (70, 40, 20)  # a dark blue that no palette has: neither hot nor cold
_INK, _PAPER = (255, 255, 255), (20, 20, 20)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_HEIGHT = 64  # pixels: below, a legend would hide the picture and could not be read
_ZERO_CELSIUS = 273.15

# RGB at shares of the scale. Luma rises all the way, so that hotter is brighter for the colour-blind too.
_IRONBOW = (
    (0.0, (0, 0, 0)),
    (0.12, (32, 0, 140)),
    (0.37, (204, 0, 119)),
    (0.63, (255, 102, 0)),
    (0.82, (255, 190, 0)),
    (1.0, (255, 255, 255)),
)


def palette(name: str) -> npt.NDArray[np.uint8]:
    """(256, 1, 3) uint8 BGR: the colour of each grey level from cold to hot.

    Raises:
        ValueError: an unknown name.
    """
    grey = np.arange(256, dtype=np.uint8)
    if name == "ironbow":
        shares = [share for share, _ in _IRONBOW]
        channels = [np.interp(grey / 255, shares, [color[k] for _, color in _IRONBOW]) for k in (2, 1, 0)]
        return np.rint(np.stack(channels, axis=1)).astype(np.uint8)[:, None]
    if name not in PALETTES:
        raise ValueError(f"thermal palette '{name}' is unknown; expected {', '.join(PALETTES)}")
    levels = grey if name == "white_hot" else 255 - grey
    return np.repeat(levels[:, None, None], 3, axis=2)


def colored(result: FusionResult, name: str) -> Image:
    """The registered thermal image in a palette, without a legend.

    Linear between ``result.thermal_levels`` whatever the tone mapping, so that one colour is one temperature; dark blue
    where there is no data.

    Args:
        result: with a thermal image.
        name: one of ``PALETTES``.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: an unknown palette, or a result without a thermal image.
    """
    counts, levels = result.thermal_registered, result.thermal_levels
    if counts is None or levels is None:
        raise ValueError("a result without a thermal image has no thermal picture")
    low, high = levels
    # In float64 the offset of a large count loses nothing.
    grey = (np.nan_to_num(counts, posinf=high, neginf=low, nan=low) - low) * (255 / max(high - low, 1e-9))
    image = np.asarray(cv2.applyColorMap(np.clip(np.rint(grey), 0, 255).astype(np.uint8), palette(name)), np.uint8)
    mask = np.isfinite(counts) if result.mask is None else (result.mask > 0) & np.isfinite(counts)
    image[~mask] = _NO_DATA
    return image


def thermal_color(result: FusionResult, name: str, radiometry: Radiometry | None) -> Image:
    """``colored`` with a legend on its right side: °C where the radiometry is known, else counts.

    Args:
        result: with a thermal image.
        name: one of ``PALETTES``.
        radiometry: of the counts; None where it is not known.

    Returns:
        (H, W, 3) uint8 BGR. Images of less than 64 rows have no legend.

    Raises:
        ValueError: as ``colored``.
    """
    image = colored(result, name)
    assert result.thermal_levels is not None  # colored
    draw_legend(image, name, result.thermal_levels, radiometry)
    return image


def scale_labels(levels: tuple[float, float], radiometry: Radiometry | None) -> tuple[list[str], str]:
    """What stands beside the bar: the values of its upper end, middle and lower end, and their unit."""
    low, high = levels
    values = [high, (low + high) / 2, low]
    if radiometry is None:
        return [f"{value:.0f}" if high - low >= 10 else f"{value:.1f}" for value in values], "counts"
    celsius = radiometry.kelvin(np.array([values], np.float32))[0].astype(float) - _ZERO_CELSIUS
    return [f"{round(value, 1) + 0.0:.1f}" for value in celsius], "C"  # adding 0 makes -0.0 0.0


def draw_legend(image: Image, name: str, levels: tuple[float, float], radiometry: Radiometry | None) -> None:
    """Draw a palette with its scale on the right side of a BGR image of 64 rows or more that is wide enough for it."""
    height, width = image.shape[:2]
    if height < _LEAST_HEIGHT:
        return
    texts, unit = scale_labels(levels, radiometry)
    scale = max(height / 1000.0, 0.35)
    sizes = [cv2.getTextSize(text, _FONT, scale, 1)[0] for text in (*texts, unit)]
    line, margin = sizes[0][1], max(height // 80, 3)
    bar = max(width // 50, 6)
    panel = max(size[0] for size in sizes) + bar + 3 * margin
    if panel > width // 2:  # a narrow crop
        return
    top, bottom = height // 8, height - height // 8
    left = width - panel
    image[top - margin : bottom + margin, left:] = _PAPER
    first = top + 2 * line + margin  # the unit stands above the bar
    ramp = np.linspace(255, 0, bottom - first).round().astype(np.uint8)[:, None]
    x0 = width - margin - bar
    image[first:bottom, x0 : x0 + bar] = np.repeat(cv2.applyColorMap(ramp, palette(name)), bar, axis=1)
    cv2.rectangle(image, (x0 - 1, first - 1), (x0 + bar, bottom), _INK, 1)
    for text, y in zip(texts, (first + line, (first + bottom + line) // 2, bottom), strict=True):
        _write(image, text, (x0 - 2 * margin, y), scale)
    _write(image, unit, (width - margin, top + line), scale)
    if unit == "C":  # the font has no degree sign
        degree = width - margin - sizes[-1][0] - max(line // 3, 2)
        cv2.circle(image, (degree, top + max(line // 4, 2)), max(line // 5, 2), _INK, 1, cv2.LINE_AA)


def _write(image: Image, text: str, right_lower: tuple[int, int], scale: float) -> None:
    x, y = right_lower
    width = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    cv2.putText(image, text, (x - width, y), _FONT, scale, _INK, 1, cv2.LINE_AA)
