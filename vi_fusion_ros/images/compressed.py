"""``sensor_msgs/CompressedImage`` to numpy arrays and back: the transports of image_transport.

``compressed``, ``compressedDepth`` and ``zstd``; theora and H.264 are streams, which this is not for.
Works on anything of the message's shape and imports no ROS package, as encodings.py.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.errors import printable
from vi_fusion_ros.images import compressed_depth, zstd_transport
from vi_fusion_ros.images.encodings import ImageError, byte_array, channels, encoding_of, to_8_bit
from vi_fusion_ros.images.header import pixel_count
from vi_fusion_ros.types import Image

MAX_PIXELS = 2**25
"""The most pixels that a compressed image may stand for: 8K video has fewer."""

_DEEP_ENCODINGS = {"mono16": 16, "16UC1": 16, "16SC1": 16, "32FC1": 32, "64FC1": 64}
"""Bits of single-channel encodings that a JPEG cannot hold."""

_DEPTHS = ("uint8", "uint16", "float32")


def check_compressed(msg: Any) -> None:
    """Check what can be known of a ``sensor_msgs/CompressedImage`` before decoding it.

    Raises:
        ImageError: if it is empty, or of the transports compressedDepth or zstd with a header that cannot be.
    """
    if len(msg.data) == 0:
        raise ImageError("compressed image without data; expected a JPEG, PNG, TIFF or WebP stream")
    if "compressedDepth" in msg.format:
        try:
            compressed_depth.check(msg.format, msg.data)
        except ValueError as error:
            raise ImageError(f"compressed format '{printable(msg.format)}': {error}") from error
    elif msg.format == zstd_transport.FORMAT:
        zstd_transport.check(msg.data, _check_pixels)


def decode_compressed(msg: Any) -> Image:
    """The pixels of a ``sensor_msgs/CompressedImage``: JPEG, PNG, TIFF or WebP, or of the other transports.

    Grey keeps its depth; 16-bit colour becomes 8 bit by full scale, as that of raw images does.

    Returns:
        (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR.

    Raises:
        ImageError: if it cannot be decoded, or if it stands for more than ``MAX_PIXELS``.
    """
    check_compressed(msg)
    if "compressedDepth" in msg.format:
        return _decode_depth(msg)
    if msg.format == zstd_transport.FORMAT:
        return zstd_transport.decode(msg.data, _check_pixels)
    pixels = _decode(msg, memoryview(msg.data))
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if channels(pixels) == 3 and pixels.dtype == np.uint16:
        pixels = to_8_bit(pixels)
    if pixels.dtype.name not in (_DEPTHS if pixels.ndim == 2 else _DEPTHS[:1]):
        raise ImageError(
            f"compressed image of {channels(pixels)} channels of {pixels.dtype.name} is not supported; expected "
            "8-bit or 16-bit colour, or 8-bit, 16-bit or float grey"
        )
    return pixels


def lost_depth(format_: str, image: Image) -> str:
    """One sentence where an image has fewer bits than the encoding that its format names first; else "".

    That encoding is the one before it was compressed: image_transport's JPEG keeps 8 of 16 bits.

    Args:
        format_: of the message, for example ``16UC1; jpeg compressed mono8``.
        image: decoded.
    """
    before, bits = format_.partition(";")[0].strip(), image.dtype.itemsize * 8
    if "compressedDepth" in format_ or bits >= _DEEP_ENCODINGS.get(before, 0):
        return ""
    return (
        f"compressed format '{printable(format_)}' has kept {bits} of the {_DEEP_ENCODINGS[before]} bits of {before}; "
        "set the publisher's parameter …compressed.format to png, or use the raw transport"
    )


def fill_compressed(msg: Any, image: Image, jpeg_quality: int = 90) -> Any:
    """Write ``image`` into a ``sensor_msgs/CompressedImage``: 8 bit as JPEG, 16 bit losslessly as PNG.

    The format string is the one that compressed_image_transport writes, so that its subscribers can read it.
    """
    encoding = encoding_of(image)
    if image.dtype == np.uint8:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    else:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    ok, data = cv2.imencode("." + kind, image, options)
    if not ok:
        raise ImageError(f"an image of encoding {encoding} cannot be compressed as {kind}")
    msg.format = f"{encoding}; {kind} compressed {encoding}"
    msg.data = byte_array(data)
    return msg


def _decode(msg: Any, data: memoryview) -> Image:
    """The image in ``data``, a part of the message's."""
    try:
        _check_pixels(pixel_count(data))
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(_undecodable(msg, f": {error}")) from error
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(_undecodable(msg))
    return np.asarray(pixels)


def _decode_depth(msg: Any) -> Image:
    def png(data: memoryview) -> Image:
        return _decode(msg, data)

    try:
        return compressed_depth.decode(msg.format, msg.data, png, _check_pixels)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(_undecodable(msg, f": {error}")) from error


def _undecodable(msg: Any, why: str = "") -> str:
    return f"compressed image of {len(msg.data)} bytes and format '{printable(msg.format)}' cannot be decoded{why}"


def _check_pixels(pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise ImageError(f"compressed image of {pixels} pixels; expected at most {MAX_PIXELS}")
