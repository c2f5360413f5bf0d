"""Segmentation masks: grey images of class numbers, or images with a palette whose indices are class numbers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.training.datasets.base import DatasetError, read_image

_PNG = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE, _INDEXED = 25, 3  # where the header says how a pixel is stored, and what it says of palettes


def read_mask(path: Path) -> frozenset[int]:
    """The class numbers that occur in a mask.

    Raises:
        DatasetError: the file is missing, corrupt or no mask.
    """
    image = read_image(path, cv2.IMREAD_UNCHANGED)
    data = path.read_bytes()
    if data.startswith(_PNG) and data[_COLOUR_TYPE] == _INDEXED:
        return _indices(image, _palette(data))
    if image.ndim != 2 or image.dtype != np.uint8:
        raise DatasetError(f"{path}: a colour image; expected a mask of class numbers, 8-bit grey or with a palette")
    return frozenset(np.unique(image).tolist())


def _palette(data: bytes) -> npt.NDArray[np.uint8]:
    """Colours of an indexed PNG that OpenCV could decode, (N, 3) R, G, B: OpenCV itself gives colours, not indices."""
    start = data.index(b"PLTE")
    length = int.from_bytes(data[start - 4 : start], "big")
    return np.frombuffer(data[start + 4 : start + 4 + length], np.uint8).reshape(-1, 3)


def _indices(image: npt.NDArray[np.generic], palette: npt.NDArray[np.uint8]) -> frozenset[int]:
    codes = np.unique(_code(np.asarray(image)[..., 2::-1]))
    first = {int(code): index for index, code in reversed(list(enumerate(_code(palette))))}
    return frozenset(first[int(code)] for code in codes)


def _code(colours: npt.NDArray[np.generic]) -> npt.NDArray[np.uint32]:
    """One number for each R, G, B along the last axis."""
    return np.asarray(np.asarray(colours, np.uint32) @ np.array([65536, 256, 1], np.uint32), np.uint32)
