"""A Matroska file of JPEG images with any time stamps, which OpenCV's writer cannot make."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_UNKNOWN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"


def write_mkv(path: Path, times_s: Sequence[float], images: Sequence[np.ndarray], finished: bool = True) -> Path:
    """Write a video.

    Args:
        path: of the file.
        times_s: of the frames, to the millisecond.
        images: (H, W, 3) or (H, W) uint8.
        finished: false leaves the file as a writer does that is killed: without sizes and duration.
    """
    height, width = images[0].shape[:2]
    info = _element(0x2AD7B1, _number(1_000_000)) + _text(0x4D80, "test") + _text(0x5741, "test")
    if finished:
        info += _element(0x4489, struct.pack(">d", times_s[-1] * 1e3))
    video = _element(0xB0, _number(width)) + _element(0xBA, _number(height))
    track = _element(0xD7, _number(1)) + _element(0x73C5, _number(1)) + _element(0x83, _number(1))
    track += _text(0x86, "V_MJPEG") + _element(0xE0, video)
    content = _element(0x1549A966, info) + _element(0x1654AE6B, _element(0xAE, track))
    for time_s, image in zip(times_s, images, strict=True):
        block = b"\x81\0\0\x80" + cv2.imencode(".jpg", image)[1].tobytes()  # track 1, 0 ms into the cluster, key frame
        content += _element(0x1F43B675, _element(0xE7, _number(round(time_s * 1e3))) + _element(0xA3, block))
    head = _text(0x4282, "matroska") + _element(0x4287, _number(4)) + _element(0x4285, _number(2))
    segment = _element(0x18538067, content) if finished else _id(0x18538067) + _UNKNOWN_SIZE + content
    path.write_bytes(_element(0x1A45DFA3, head) + segment)
    return path


def levels(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Even images whose grey tells their number: ``number_of`` gives it back."""
    return [np.full((*size, 3), 4 * number + 2, np.uint8) for number in range(count)]


def number_of(image: np.ndarray) -> int:
    """Of an image of ``levels``."""
    return int(image.mean() // 4)


def _id(key: int) -> bytes:
    return key.to_bytes((key.bit_length() + 7) // 8, "big")


def _element(key: int, content: bytes) -> bytes:
    return _id(key) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _text(key: int, text: str) -> bytes:
    return _element(key, text.encode())
