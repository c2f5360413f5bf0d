"""The data of image_transport's ``zstd``: the fields of a raw image, then its bytes, compressed.

Despite the name the bytes are a gzip stream: the plugin (zstd_image_transport of image_transport_plugins) uses zlib.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from vi_fusion_ros.images.encodings import ImageError, check_layout, data_size, decode_image
from vi_fusion_ros.types import Image

FORMAT = "zstd"
"""``format`` of its messages."""

_FIELDS = struct.Struct("<IIBII")  # height, width, byte order, step, and the length of the encoding behind them
_LONGEST_ENCODING = 64
_MOST_BYTES = 8  # of a pixel; what is more is padding, which could be without end
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


class _Raw(NamedTuple):
    """As ``sensor_msgs/Image``, without the header."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: bytes


def check(data: Any, check_pixels: Callable[[int], None]) -> None:
    """Check what can be known of a message's data before anything is unpacked.

    Args:
        data: of the message.
        check_pixels: raises where an image of so many pixels is too large.

    Raises:
        ImageError: it ends within its fields, is too large, or names an encoding that is not known.
    """
    _fields(memoryview(data), check_pixels)


def decode(data: Any, check_pixels: Callable[[int], None]) -> Image:
    """The pixels of a message, as those of a raw image.

    Raises:
        ImageError: as ``check``, the stream is broken, or the image contradicts itself.
    """
    octets = memoryview(data)
    raw, start = _fields(octets, check_pixels)
    stream = octets[start:]
    if bytes(stream[:4]) == _ZSTANDARD:
        raise ImageError("image of the zstd transport in Zstandard; expected gzip, which its plugin writes")
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        unpacked = unpacker.decompress(stream, data_size(raw))
    except zlib.error as error:
        raise ImageError(f"image of the zstd transport cannot be unpacked: {error}") from error
    return decode_image(raw._replace(data=unpacked))


def _fields(octets: memoryview, check_pixels: Callable[[int], None]) -> tuple[_Raw, int]:
    """The fields, with no data yet, and where the stream begins."""
    if len(octets) < _FIELDS.size:
        raise ImageError(f"image of the zstd transport of {len(octets)} bytes; expected {_FIELDS.size} and more")
    height, width, is_bigendian, step, length = _FIELDS.unpack_from(octets)
    start = _FIELDS.size + length
    if length > _LONGEST_ENCODING or start > len(octets):
        raise ImageError("image of the zstd transport that ends within its fields")
    encoding = bytes(octets[_FIELDS.size : start]).decode("ascii", "replace")
    check_pixels(width * height)
    raw = _Raw(height, width, encoding, is_bigendian, step, b"")
    check_layout(raw)
    check_pixels(data_size(raw) // _MOST_BYTES)
    return raw, start
