"""The objects of an image: from a model's map of them to boxes, hot regions, temperatures. NumPy and OpenCV only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import Calibration
from vi_fusion_ros.engines.engine import PLACE_PARTS, Tensor
from vi_fusion_ros.thermal.hot_regions import Box
from vi_fusion_ros.thermal.radiometry import Radiometry
from vi_fusion_ros.types import HOT_REGION, DetectedObject, Image

MOST = 100
"""Objects of an image."""

_IOU = 0.5  # two boxes of a label that share more are one object
_CANDIDATES = 200  # the surest; in an image of noise every ninth place is a maximum
_LEAST_SIDE = 1.0
# A hot region of which more lies in the box of an object is that object, or a part of it, unless it is a speck in it.
_SHARED, _LEAST_PART = 0.5, 0.02
_NEIGHBOURS = np.ones((3, 3), np.uint8)

Floats = npt.NDArray[np.float32]


def decode(
    objects: Tensor,
    labels: Sequence[str],
    calibration: Calibration,
    size: tuple[int, int],
    padded: tuple[int, int],
) -> tuple[DetectedObject, ...]:
    """The objects in an image: maxima of the scores, each label's overlapping boxes reduced to the surest.

    Args:
        objects: (5 C, h, w) float32, ``EngineOutput.objects`` without its first axis.
        labels: C of them.
        calibration: of their scores.
        size: width and height of the image, pixels, without the padding.
        padded: width and height of the network's input, pixels, that the map stands for.

    Returns:
        At most 100, the surest first, clipped to the image; temperatures are NaN.
    """
    label, row, column = _maxima(objects[: len(labels)])
    calibration = calibration.of(label)
    probability = calibration.probabilities(objects[label, row, column])
    order = np.flatnonzero(probability >= calibration.thresholds)
    order = order[np.argsort(-probability[order], kind="stable")][:_CANDIDATES]
    label, probability = label[order], probability[order]
    place = (padded[0] / objects.shape[2], padded[1] / objects.shape[1])
    boxes = _boxes(objects[len(labels) :], label, row[order], column[order], place).clip(0, (*size, *size))
    real = (boxes[:, 2:] - boxes[:, :2] >= _LEAST_SIDE).all(1)
    label, probability, boxes = label[real], probability[real], boxes[real]
    kept = _without_repeats(boxes, label)
    return tuple(DetectedObject(labels[label[k]], float(probability[k]), *map(float, boxes[k])) for k in kept)


def with_hot_regions(objects: Sequence[DetectedObject], regions: Sequence[Box]) -> tuple[DetectedObject, ...]:
    """The objects, then the hot regions that are none of them, nor a part of one.

    Args:
        objects: of the model.
        regions: their boxes, in the same pixels.
    """
    new = (box for box in regions if not any(_is_of(box, found.box) for found in objects))
    return (*objects, *(DetectedObject(HOT_REGION, math.nan, *box) for box in new))


def with_temperatures(
    objects: Sequence[DetectedObject], thermal: Image, mask: npt.NDArray[np.uint8], radiometry: Radiometry
) -> tuple[DetectedObject, ...]:
    """The objects with the temperatures inside their boxes.

    Args:
        objects: in pixels of ``thermal``.
        thermal: (H, W) counts, uint8, uint16 or float32.
        mask: (H, W) uint8, 0 where ``thermal`` has no data, which leaves a box without any at NaN.
        radiometry: of the counts.
    """
    return tuple(_with_temperature(found, thermal, mask, radiometry) for found in objects)


def message_fields(found: DetectedObject) -> dict[str, Any]:
    """The fields of a ``vi_fusion_ros/DetectedObject`` message by name."""
    return {
        "label": found.label,
        "probability": found.probability,
        "x": found.x0,
        "y": found.y0,
        "width": found.x1 - found.x0,
        "height": found.y1 - found.y0,
        "mean_temperature": found.mean_kelvin,
        "max_temperature": found.max_kelvin,
    }


def of_message(message: Any) -> DetectedObject:
    """The object that a ``vi_fusion_ros/DetectedObject`` message tells of."""
    right, lower = message.x + message.width, message.y + message.height
    temperatures = (message.mean_temperature, message.max_temperature)
    return DetectedObject(message.label, message.probability, message.x, message.y, right, lower, *temperatures)


def as_json(found: DetectedObject) -> dict[str, Any]:
    """``label``, ``probability``, ``box`` [x0, y0, x1, y1], ``mean_kelvin`` and ``max_kelvin``, null where unknown.

    The probability of a hot region is null, too.
    """
    mean, highest = (
        round(kelvin, 3) if math.isfinite(kelvin) else None for kelvin in (found.mean_kelvin, found.max_kelvin)
    )
    return {
        "label": found.label,
        "probability": round(found.probability, 6) if found.is_of_model else None,
        "box": [round(edge, 2) for edge in found.box],
        "mean_kelvin": mean,
        "max_kelvin": highest,
    }


def _is_of(region: Box, other: Box) -> bool:
    width = min(region[2], other[2]) - max(region[0], other[0])
    height = min(region[3], other[3]) - max(region[1], other[1])
    shared = max(width, 0) * max(height, 0)
    area, whole = ((box[2] - box[0]) * (box[3] - box[1]) for box in (region, other))
    return shared > _SHARED * area and area >= _LEAST_PART * whole


def _with_temperature(
    found: DetectedObject, thermal: Image, mask: npt.NDArray[np.uint8], radiometry: Radiometry
) -> DetectedObject:
    # The pixels whose middle is inside; a box is at least a pixel wide, so there are some.
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in found.box)
    inside = np.s_[top:bottom, left:right]
    data = mask[inside]
    if not cv2.countNonZero(data):
        return found
    mean, highest = cv2.mean(thermal[inside], data)[0], cv2.minMaxLoc(thermal[inside], data)[1]
    mean_kelvin, max_kelvin = radiometry.kelvin(np.array([mean, highest])).tolist()
    return replace(found, mean_kelvin=mean_kelvin, max_kelvin=max_kelvin)


def _maxima(scores: Floats) -> tuple[npt.NDArray[np.intp], ...]:
    """Label, row and column of the places that no neighbour exceeds."""
    highest = np.stack([cv2.dilate(plane, _NEIGHBOURS) for plane in scores])
    return np.nonzero(scores == highest)


def _boxes(
    sides: Floats,
    label: npt.NDArray[np.intp],
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    place: tuple[float, float],
) -> Floats:
    """(N, 4): left, upper, right and lower edge, the corner of the image's first pixel being (0, 0).

    ``place``: width and height of a place, pixels.
    """
    x, y = (places + np.float32(0.5) for places in (column, row))
    left, up, right, down = (sides[4 * label + side, row, column] / PLACE_PARTS for side in range(4))
    return np.stack([x - left, y - up, x + right, y + down], 1).astype(np.float32) * np.array(
        (*place, *place), np.float32
    )


def _without_repeats(boxes: Floats, label: npt.NDArray[np.intp]) -> list[int]:
    """Indices of the boxes that remain, in their order, of boxes the surest of which come first."""
    x0, y0, x1, y1 = np.ascontiguousarray(boxes.T)
    width = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    height = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = (x1 - x0) * (y1 - y0)
    # IoU = shared / (sum of areas - shared) > limit
    same = shared * (1 + 1 / _IOU) > np.add.outer(area, area)
    same &= np.equal.outer(label, label)
    kept: list[int] = []
    gone = np.zeros(len(boxes), bool)
    while len(kept) < MOST and not gone.all():
        kept.append(int(gone.argmin()))
        gone |= same[kept[-1]]
    return kept
