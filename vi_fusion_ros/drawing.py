"""Pictures for people: thermal and attention in colour, labels on the fused image, mosaics. Free of ROS."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vi_fusion_ros.types import UNKNOWN_ILLUMINATION, DetectedObject, FusionResult, Image, LabelScore, Mode

Color = tuple[int, int, int]
Strip = tuple[int, int, int, int]
"""x, y, width and height, pixels."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PRESENT = (90, 220, 90)
_ABSENT = (170, 170, 170)
_INK = (20, 20, 20)
# Okabe and Ito's palette, BGR, which the colour-blind can tell apart, without the blue on which dark ink is unreadable.
_LABEL_COLORS: tuple[Color, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (66, 228, 240),
    (167, 121, 204),
    (115, 158, 0),
    (0, 94, 213),
)
_HOT_COLOR: Color = (255, 255, 255)  # no label has it
_MODE_NOTE = {Mode.BOTH: "", Mode.VISIBLE_ONLY: "visible only", Mode.THERMAL_ONLY: "thermal only"}


def grey8(image: Image) -> Image:
    """``image`` as (H, W, 3) uint8 BGR for a screen; 16-bit and float images are stretched over their 1-99 % range."""
    if image.dtype != np.uint8:
        finite = image[np.isfinite(image)]
        low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
        scaled = (image.astype(np.float32) - low) * (255.0 / max(float(high - low), 1e-6))
        image = np.nan_to_num(np.clip(scaled, 0, 255)).astype(np.uint8)
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def attention_grey(result: FusionResult) -> Image:
    """The thermal share as (H, W) uint8, 0 to 255."""
    return cv2.convertScaleAbs(result.attention, alpha=255.0)


def attention_color(result: FusionResult) -> Image:
    """The thermal share as (H, W, 3) uint8 BGR: dark blue is visible (0), yellow is thermal (1)."""
    return cv2.applyColorMap(attention_grey(result), cv2.COLORMAP_CIVIDIS)


def overlay(result: FusionResult) -> Image:
    """The fused image with its objects, labels, illumination and mode on it, (H, W, 3) uint8 BGR."""
    image = with_objects(result)
    light = ""
    if result.illumination != UNKNOWN_ILLUMINATION:
        light = f"{result.illumination} {result.illumination_probability:.0%}"
    write_labels(image, result.scores, "  ".join(filter(None, (light, _MODE_NOTE[result.pair.mode]))))
    return image


def with_objects(result: FusionResult) -> Image:
    """The fused image with the boxes, each with its label and probability, a colour a label; (H, W, 3) uint8 BGR.

    Hot regions are white, and have no probability.
    """
    image = grey8(result.fused).copy()
    labels = [score.label for score in result.scores]
    colored = [(found, _color(found, labels)) for found in result.objects]
    for found, color in reversed(colored):  # the surest lies on top
        _draw_box(image, found, color)
    taken: list[Strip] = []
    for found, color in colored:
        _draw_name(image, found, color, taken)
    return image


def _color(found: DetectedObject, labels: Sequence[str]) -> Color:
    return _LABEL_COLORS[labels.index(found.label) % len(_LABEL_COLORS)] if found.is_of_model else _HOT_COLOR


def _draw_box(image: Image, found: DetectedObject, color: Color) -> None:
    left, top, right, bottom = (round(edge) for edge in found.box)
    cv2.rectangle(image, (left, top), (right - 1, bottom - 1), color, max(round(image.shape[0] / 240), 1))
    cv2.rectangle(image, (left - 1, top - 1), (right, bottom), _INK, 1)  # so that it shows on bright ground too


def _draw_name(image: Image, found: DetectedObject, color: Color, taken: list[Strip]) -> None:
    """Write what it is above the box, or where no strip of an earlier one is in the way; adds to ``taken``."""
    scale = max(image.shape[0] / 1100.0, 0.35)
    text = f"{found.label} {found.probability:.0%}" if found.is_of_model else "hot region"
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    margin = max(height // 3, 2)
    width, height = width + 2 * margin, height + 2 * margin
    if width > image.shape[1]:  # a crop of a few pixels
        return
    left, top, _, bottom = (round(edge) for edge in found.box)
    left = min(left, image.shape[1] - width)
    places = [(left, y) for y in (top - height, top, bottom, bottom - height) if 0 <= y <= image.shape[0] - height]
    free = [place for place in places if not any(_overlap((*place, width, height), other) for other in taken)]
    x, y = (free or places or [(left, 0)])[0]
    taken.append((x, y, width, height))
    cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), color, cv2.FILLED)
    _text(image, text, (x + margin, y + height - margin), scale, _INK)


def _overlap(a: Strip, b: Strip) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def write_labels(image: Image, scores: Sequence[LabelScore], footer: str) -> None:
    """Write one line a label (green where present) and a footer, if any, into the lower left corner of a BGR image."""
    scale = max(image.shape[0] / 1000.0, 0.35)
    step = round(34 * scale)
    lines = [(f"{s.label} {s.probability:.0%}", _PRESENT if s.present else _ABSENT) for s in scores]
    if footer:
        lines.append((footer, (255, 255, 255)))
    if not lines:
        return
    top = image.shape[0] - step * len(lines) - step // 2
    width = max(cv2.getTextSize(text, _FONT, scale, 1)[0][0] for text, _ in lines) + step
    _darken(image, 0, top, width, image.shape[0])
    for row, (text, color) in enumerate(lines, 1):
        _text(image, text, (step // 2, top + row * step), scale, color)


def titled(image: Image, title: str) -> Image:
    """A copy of a BGR image with a title bar in its upper left corner."""
    image = image.copy()
    scale = max(image.shape[0] / 900.0, 0.4)
    (width, height), _ = cv2.getTextSize(title, _FONT, scale, 1)
    _darken(image, 0, 0, width + height * 2, height * 2)
    _text(image, title, (height, height + height // 2), scale, (255, 255, 255))
    return image


def mosaic_row(result: FusionResult) -> Image:
    """Visible, registered thermal, fused with objects and labels, attention, side by side: (H, 4 W, 3) uint8 BGR."""
    height, width = result.fused.shape[:2]
    missing = np.zeros((height, width, 3), np.uint8)
    visible = missing if result.pair.visible is None else grey8(result.pair.visible.image)
    registered = result.thermal_registered if result.thermal_grey is None else result.thermal_grey
    thermal = missing if registered is None else grey8(registered)
    tiles = (
        ("visible", visible),
        ("thermal, registered", thermal),
        ("fused", overlay(result)),
        ("attention: yellow = thermal", attention_color(result)),
    )
    return np.hstack([titled(tile, title) for title, tile in tiles])


def stacked(rows: Sequence[Image]) -> Image:
    """BGR images under each other, those of other widths scaled to that of the first; (H, W, 3) uint8."""
    width = rows[0].shape[1]
    scaled = [
        row if row.shape[1] == width else cv2.resize(row, (width, max(round(row.shape[0] * width / row.shape[1]), 1)))
        for row in rows
    ]
    return np.vstack(scaled)


def _darken(image: Image, left: int, top: int, right: int, bottom: int) -> None:
    region = image[max(top, 0) : bottom, max(left, 0) : right]
    region[:] = region // 3


def _text(image: Image, text: str, origin: tuple[int, int], scale: float, color: Color) -> None:
    cv2.putText(image, text, origin, _FONT, scale, color, 1, cv2.LINE_AA)
