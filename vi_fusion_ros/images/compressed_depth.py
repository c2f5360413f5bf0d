"""The data of image_transport's ``compressedDepth``: a header of twelve bytes, then a 16-bit PNG or an RVL stream.

16-bit images are held without a loss. Float images are held as 16-bit inverse depth, whose two coefficients the header
has. RVL is the run-length and variable-length code of Wilson, Fast Lossless Depth Image Compression (ISS 2017).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.errors import printable
from vi_fusion_ros.types import Image

_HEADER = struct.Struct("<iff")  # an enumeration of the format, and the two coefficients of inverse depth
_SIZE = struct.Struct("<ii")  # of an RVL stream: columns and rows
_ENCODINGS = ("16UC1", "mono16", "32FC1")
_MOST_DIGITS = 9  # of a number, three bits each: runs of the largest images have as many


def check(format_: str, data: Any) -> None:
    """Check what can be known of a message before it is decoded.

    Args:
        format_: of the message: "ENCODING; compressedDepth CODEC"; a missing codec is png, as of older publishers.
        data: of the message.

    Raises:
        ValueError: an encoding or codec that is not known, or data that ends within its header.
    """
    encoding, codec = _parts(format_)
    if encoding not in _ENCODINGS:
        raise ValueError(f"encoding '{printable(encoding)}' is not of this transport; expected {', '.join(_ENCODINGS)}")
    if codec not in ("png", "rvl"):
        raise ValueError(f"codec '{printable(codec)}' is not supported; expected png or rvl")
    if len(data) <= _HEADER.size:
        raise ValueError(f"{len(data)} bytes; expected a header of {_HEADER.size} and an image behind it")


def decode(
    format_: str, data: Any, decode_png: Callable[[memoryview], Image], check_pixels: Callable[[int], None]
) -> Image:
    """The pixels of a message.

    Args:
        format_: as of ``check``.
        data: of the message.
        decode_png: of a PNG stream.
        check_pixels: raises where an image of so many pixels is too large; asked before any is decoded.

    Returns:
        (H, W) uint16, or float32 with NaN where nothing is known.

    Raises:
        ValueError: as ``check``, or the image cannot be decoded.
    """
    check(format_, data)
    encoding, codec = _parts(format_)
    octets = memoryview(data)
    _, factor, offset = _HEADER.unpack_from(octets)
    stream = octets[_HEADER.size :]
    image = decode_png(stream) if codec == "png" else _decode_rvl_image(stream, check_pixels)
    if image.ndim != 2 or image.dtype != np.uint16:
        raise ValueError(f"an image of shape {image.shape} of {image.dtype}; expected 16-bit grey")
    return image if encoding != "32FC1" else _of_inverse(image, factor, offset)


def decode_rvl(stream: memoryview, pixels: int) -> npt.NDArray[np.uint16]:
    """The values of an RVL stream.

    Args:
        stream: little-endian words of eight digits of four bits, the first digit in the highest bits.
        pixels: how many values.

    Returns:
        (pixels,).

    Raises:
        ValueError: it ends early, or holds more.
    """
    numbers = _numbers(stream)
    values = np.zeros(pixels, np.uint16)
    places: list[slice] = []
    differences: list[npt.NDArray[np.int64]] = []
    at = done = 0
    while done < pixels:
        if at + 2 > len(numbers):
            raise ValueError(f"an RVL stream that ends after {done} of {pixels} pixels")
        zeros, others = int(numbers[at]), int(numbers[at + 1])
        start, end = done + zeros, done + zeros + others
        if end > pixels or at + 2 + others > len(numbers) or end == done:
            raise ValueError(f"an RVL stream with a run of {zeros} and {others} after {done} of {pixels} pixels")
        places.append(slice(start, end))
        differences.append(numbers[at + 2 : at + 2 + others])
        at, done = at + 2 + others, end
    coded = np.concatenate(differences) if differences else np.zeros(0, np.int64)
    # Signs are folded into the lowest bit; differences go on across gaps.
    known = np.cumsum((coded >> 1) ^ -(coded & 1)).astype(np.uint16)
    first = 0
    for place in places:
        count = place.stop - place.start
        values[place] = known[first : first + count]
        first += count
    return values


def _decode_rvl_image(stream: memoryview, check_pixels: Callable[[int], None]) -> Image:
    if len(stream) < _SIZE.size:
        raise ValueError("an RVL image that ends within its size")
    width, height = _SIZE.unpack_from(stream)
    if width <= 0 or height <= 0:
        raise ValueError(f"an RVL image of {width}x{height} pixels; expected at least one")
    check_pixels(width * height)
    return decode_rvl(stream[_SIZE.size :], width * height).reshape(height, width)


def _numbers(stream: memoryview) -> npt.NDArray[np.int64]:
    """The numbers of a stream: digits of three bits, the lowest first, each with a bit set where more follow."""
    octets = np.frombuffer(stream, np.uint8, len(stream) // 4 * 4).reshape(-1, 4)[:, ::-1].reshape(-1)
    digits = np.empty(2 * len(octets), np.uint8)
    digits[::2], digits[1::2] = octets >> 4, octets & 15
    ends = np.flatnonzero(digits < 8)
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if int((ends - starts).max()) >= _MOST_DIGITS:
        raise ValueError("an RVL stream with a number of more than 27 bits")
    known = digits[: ends[-1] + 1].astype(np.int64)
    position = np.arange(len(known)) - np.repeat(starts, ends - starts + 1)
    return np.asarray(np.add.reduceat((known & 7) << (3 * position), starts))


def _of_inverse(image: Image, factor: float, offset: float) -> Image:
    """Depth of inverse depth; 0 stands for nothing known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(factor) / (image.astype(np.float32) - np.float32(offset))
    depth[image == 0] = np.nan
    return depth


def _parts(format_: str) -> tuple[str, str]:
    encoding, _, rest = format_.partition(";")
    return encoding.strip(), rest.replace("compressedDepth", "").strip() or "png"
