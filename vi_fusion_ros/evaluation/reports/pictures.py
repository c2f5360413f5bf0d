"""Small pictures with words beneath, in rows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vi_fusion_ros.drawing import grey8
from vi_fusion_ros.types import Image

_LINE = 18
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def tile(image: Image, width: int) -> Image:
    """An image of any depth at this width, (h, width, 3) uint8 BGR."""
    size = width, max(round(image.shape[0] * width / image.shape[1]), 1)
    return cv2.resize(grey8(image), size, interpolation=cv2.INTER_AREA)


def captioned(image: Image, lines: Sequence[str]) -> Image:
    """An image with lines of text on white beneath; what does not fit is cut off."""
    strip = np.full((_LINE * len(lines) + 8, image.shape[1], 3), 255, np.uint8)
    for row, text in enumerate(lines, 1):
        cv2.putText(strip, text, (3, _LINE * row), _FONT, 0.4, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([image, strip])


def rows_of(tiles: Sequence[Image], columns: int) -> Image:
    """Tiles of one width, some in a row, each row as high as its highest."""
    width = tiles[0].shape[1]
    rows = []
    for start in range(0, len(tiles), columns):
        row = list(tiles[start : start + columns])
        height = max(image.shape[0] for image in row)
        row += [np.full((height, width, 3), 255, np.uint8)] * (min(columns, len(tiles)) - len(row))
        padded = [
            cv2.copyMakeBorder(i, 0, height - i.shape[0], 0, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for i in row
        ]
        rows.append(np.hstack(padded))
    return np.vstack(rows)
