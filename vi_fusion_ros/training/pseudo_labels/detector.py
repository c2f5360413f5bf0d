"""YOLOv4-tiny, trained on COCO by its authors, as the teacher of places.

Its weights are those that the backbone of our network starts from (``model.darknet``). OpenCV's DNN module runs it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.model.darknet import yolov4_tiny

NAME = "yolov4-tiny"

_LABELS = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "car", 7: "car"}
"""COCO's classes; buses and trucks are cars here. A motorcycle is none of ours, and easily taken for a bicycle."""

_SIDE = 832
"""Longer side in pixels that frames are brought to: twice the usual one, for objects are small in these frames."""

_OVERLAP = 0.45


class Detected(NamedTuple):
    """A detection.

    Attributes:
        label: a word of ``labels.LABELS``, or ``motorcycle``.
        score: 0 to 1.
        x0: left edge, pixels of the image, x to the right.
        y0: upper edge, y downward.
        x1: right edge.
        y1: lower edge.
    """

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


class Detector:
    """The detector.

    Raises:
        ModuleNotFoundError: its package is not installed, or OpenCV reads no Darknet files.
    """

    def __init__(self) -> None:
        files = [str(yolov4_tiny(suffix)) for suffix in ("cfg", "weights")]
        if not hasattr(cv2.dnn, "readNetFromDarknet"):
            raise ModuleNotFoundError(
                f"pseudo labels need OpenCV 4, whose DNN module reads Darknet; found {cv2.__version__}"
            )
        self._net = cv2.dnn.readNetFromDarknet(*files)
        self._outputs = self._net.getUnconnectedOutLayersNames()

    def __call__(self, image: npt.NDArray[np.uint8], least: float) -> list[Detected]:
        """What is in an image (H, W, 3) uint8, R, G, B, with a score of at least ``least``."""
        height, width = image.shape[:2]
        scale = _SIDE / max(height, width)
        size = tuple(32 * math.ceil(side * scale / 32) for side in (width, height))
        self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, size))
        rows = np.concatenate(self._net.forward(self._outputs))
        rows = rows[rows[:, 4] >= least]
        classes = rows[:, 5:].argmax(1)
        scores = rows[np.arange(len(rows)), 5 + classes]
        found = []
        for row, number, score in zip(rows, classes, scores, strict=True):
            if number in _LABELS and score >= least:
                cx, cy, w, h = row[:4] * (width, height, width, height)
                corners = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                found.append(Detected(_LABELS[number], float(score), *map(float, corners)))
        return without_doubles(found)


def without_doubles(found: list[Detected]) -> list[Detected]:
    """Of detections of one label that overlap, the one with the highest score."""
    kept: list[Detected] = []
    for label in sorted({one.label for one in found}):
        these = [one for one in found if one.label == label]
        boxes = [(one.x0, one.y0, one.x1 - one.x0, one.y1 - one.y0) for one in these]
        chosen = cv2.dnn.NMSBoxes(boxes, [one.score for one in these], 0.0, _OVERLAP)
        kept += [these[int(index)] for index in np.ravel(chosen)]
    return kept
