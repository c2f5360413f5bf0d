"""Between ROS image messages and numpy arrays, without copies where the encoding allows.

Works on anything shaped like ``sensor_msgs/Image`` (rclpy's class and the one that the rosbags library reads alike), so
this module imports no ROS package. It needs no cv_bridge, which rescales mono16 and, built against NumPy 1, crashes
under NumPy 2 (ros-perception/vision_opencv#535); its results are those of cv_bridge where that converts.

Single channels keep their depth. Colour is 8-bit BGR: of 16-bit colour, mosaics included, 65535 becomes 255. YUV is
BT.601 of limited range, as OpenCV and cv_bridge read it.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.errors import printable
from vi_fusion_ros.types import Image


class ImageError(ValueError):
    """An image message that cannot be used; the text is one sentence that says what was expected."""


@dataclass(frozen=True)
class PixelLayout:
    """How the pixels of an encoding lie in memory, and what makes them an image of ours.

    Attributes:
        dtype: of one value.
        channels: values of a pixel, in the rows that ``step`` counts.
        convert: of (rows, W) or (rows, W, channels), native byte order; None: served as it is.
        planes: rows of data for each row of the image, as a fraction: more than one with planes of chroma behind.
        multiple_of: width and height have to be multiples of these.
    """

    dtype: type[np.generic]
    channels: int
    convert: Callable[[Image], Image] | None = None
    planes: tuple[int, int] = (1, 1)
    multiple_of: tuple[int, int] = (1, 1)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes that a pixel takes in a row."""
        return int(np.dtype(self.dtype).itemsize) * self.channels

    def rows(self, height: int) -> int:
        """Rows of data, of ``step`` bytes each, of an image of this height."""
        return height * self.planes[0] // self.planes[1]


def to_8_bit(image: Image) -> Image:
    """16 bit to 8 bit by full scale: 65535 becomes 255, rounded to the nearest.

    Args:
        image: uint16 of any shape.
    """
    return np.asarray(cv2.convertScaleAbs(image, alpha=1 / 257))


def _by_code(code: int, pixels: Image) -> Image:
    return np.asarray(cv2.cvtColor(pixels, code))


def _by_code_16(code: int | None, pixels: Image) -> Image:
    return to_8_bit(np.ascontiguousarray(pixels) if code is None else cv2.cvtColor(pixels, code))


def _to_float32(pixels: Image) -> Image:
    return pixels.astype(np.float32)


# BT.601, limited range: rows B, G, R of Y, U, V and 1.
_BGR_OF_YUV = np.array(
    [[1.164, 2.018, 0.0, -276.928], [1.164, -0.391, -0.813, 135.488], [1.164, 0.0, 1.596, -222.912]], np.float32
)


def _nv24_to_bgr(pixels: Image) -> Image:
    """A plane of luma, (H, W), and behind it (H, W) pairs of U and V: no OpenCV code has the second in full size."""
    height, width = pixels.shape[0] // 3, pixels.shape[1]
    # Between rows there may be padding, so the planes are told apart by the bytes that a row takes.
    step = pixels.strides[0]
    chroma = np.lib.stride_tricks.as_strided(pixels[height:], (height, width, 2), (2 * step, 2, 1), writeable=False)
    return np.asarray(cv2.transform(np.dstack([pixels[:height], chroma]), _BGR_OF_YUV))


def _colour(dtype: type[np.generic], channels: int, code: int | None, **more: Any) -> PixelLayout:
    if dtype is np.uint16:
        return PixelLayout(dtype, channels, partial(_by_code_16, code), **more)
    return PixelLayout(dtype, channels, None if code is None else partial(_by_code, code), **more)


_YUYV = _colour(np.uint8, 2, cv2.COLOR_YUV2BGR_YUY2, multiple_of=(2, 1))
_UYVY = _colour(np.uint8, 2, cv2.COLOR_YUV2BGR_UYVY, multiple_of=(2, 1))
_BAYER = {  # OpenCV names the pattern by its second row
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}

ENCODINGS: dict[str, PixelLayout] = {
    "mono8": PixelLayout(np.uint8, 1),
    "8UC1": PixelLayout(np.uint8, 1),
    "mono16": PixelLayout(np.uint16, 1),
    "16UC1": PixelLayout(np.uint16, 1),
    "8SC1": PixelLayout(np.int8, 1, _to_float32),
    "16SC1": PixelLayout(np.int16, 1, _to_float32),
    "32SC1": PixelLayout(np.int32, 1, _to_float32),
    "32FC1": PixelLayout(np.float32, 1),
    "64FC1": PixelLayout(np.float64, 1, _to_float32),
    "bgr8": _colour(np.uint8, 3, None),
    "8UC3": _colour(np.uint8, 3, None),  # OpenCV's channel order, as cv_bridge reads it
    "rgb8": _colour(np.uint8, 3, cv2.COLOR_RGB2BGR),
    "bgra8": _colour(np.uint8, 4, cv2.COLOR_BGRA2BGR),
    "8UC4": _colour(np.uint8, 4, cv2.COLOR_BGRA2BGR),
    "rgba8": _colour(np.uint8, 4, cv2.COLOR_RGBA2BGR),
    "bgr16": _colour(np.uint16, 3, None),
    "16UC3": _colour(np.uint16, 3, None),
    "rgb16": _colour(np.uint16, 3, cv2.COLOR_RGB2BGR),
    "bgra16": _colour(np.uint16, 4, cv2.COLOR_BGRA2BGR),
    "16UC4": _colour(np.uint16, 4, cv2.COLOR_BGRA2BGR),
    "rgba16": _colour(np.uint16, 4, cv2.COLOR_RGBA2BGR),
    **{
        f"bayer_{pattern}{bits}": _colour(dtype, 1, code)
        for bits, dtype in ((8, np.uint8), (16, np.uint16))
        for pattern, code in _BAYER.items()
    },
    "yuv422": _UYVY,  # the older name
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,  # the older name
    "yuyv": _YUYV,
    "nv12": _colour(np.uint8, 1, cv2.COLOR_YUV2BGR_NV12, planes=(3, 2), multiple_of=(2, 2)),
    "nv21": _colour(np.uint8, 1, cv2.COLOR_YUV2BGR_NV21, planes=(3, 2), multiple_of=(2, 2)),
    "nv24": PixelLayout(np.uint8, 1, _nv24_to_bgr, planes=(3, 1)),
}
"""Every encoding that is read, by its name in ``sensor_msgs/image_encodings``."""

_SPELLINGS = {name.lower(): name for name in ENCODINGS}

_ENCODING_OF = {("uint8", 1): "mono8", ("uint16", 1): "mono16", ("float32", 1): "32FC1", ("uint8", 3): "bgr8"}


def check_image(msg: Any) -> None:
    """Check size, step, encoding and data length of a ``sensor_msgs/Image`` without touching a pixel.

    Raises:
        ImageError: if the message contradicts itself or its encoding cannot be decoded here.
    """
    check_layout(msg)
    size = data_size(msg)
    if len(msg.data) < size:
        rows = size // msg.step
        of = f"height {msg.height}" if rows == msg.height else f"{rows} rows of {msg.encoding}"
        raise ImageError(f"image data is truncated: {len(msg.data)} bytes, expected {size} (step {msg.step} x {of})")


def data_size(msg: Any) -> int:
    """Bytes of the data that a ``sensor_msgs/Image`` of a known encoding must have."""
    return int(msg.step) * ENCODINGS[msg.encoding].rows(msg.height)


def check_layout(msg: Any) -> None:
    """Check size, step and encoding of a ``sensor_msgs/Image``, whatever its data.

    Raises:
        ImageError: if they contradict each other or the encoding cannot be decoded here.
    """
    if msg.width == 0 or msg.height == 0:
        raise ImageError(f"image of zero size ({msg.width}x{msg.height}); expected at least one pixel")
    layout = ENCODINGS.get(msg.encoding)
    if layout is None:
        expected = _SPELLINGS.get(msg.encoding.strip().lower()) or ", ".join(ENCODINGS)
        raise ImageError(f"image encoding '{printable(msg.encoding)}' is not supported; expected {expected}")
    if msg.width % layout.multiple_of[0] or msg.height % layout.multiple_of[1]:
        raise ImageError(
            f"image of {msg.width}x{msg.height} pixels in {msg.encoding}, whose neighbours share colour; expected "
            f"a width that is a multiple of {layout.multiple_of[0]} and a height of {layout.multiple_of[1]}"
        )
    if msg.step < msg.width * layout.bytes_per_pixel:
        raise ImageError(
            f"image step {msg.step} is too small: {msg.width} pixels of {msg.encoding} take "
            f"{msg.width * layout.bytes_per_pixel} bytes a row"
        )


def decode_image(msg: Any) -> Image:
    """The pixels of a ``sensor_msgs/Image``.

    Returns:
        (H, W) uint8, uint16 or float32 for one channel, else (H, W, 3) uint8 BGR. For native-endian bgr8 and
        single-channel encodings it is a view of the message's data, which must not be written to.

    Raises:
        ImageError: as ``check_image``.
    """
    check_image(msg)
    layout = ENCODINGS[msg.encoding]
    dtype, height = np.dtype(layout.dtype), layout.rows(msg.height)
    rows = np.frombuffer(msg.data, np.uint8, msg.step * height).reshape(height, msg.step)
    pixels = rows[:, : msg.width * layout.bytes_per_pixel]
    if msg.step % dtype.itemsize:  # rows that start off alignment cannot be viewed in place
        pixels = np.ascontiguousarray(pixels)
    pixels = pixels.view(dtype)
    if dtype.itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == "big"):
        pixels = pixels.byteswap()
    if layout.channels > 1:
        pixels = pixels.reshape(msg.height, msg.width, layout.channels)
    if layout.convert is None:
        return pixels
    try:
        return layout.convert(pixels)
    except cv2.error:  # OpenCV 4.5, that of Ubuntu 22.04: a single pixel of rgb8
        raise ImageError(
            f"OpenCV {cv2.__version__} cannot convert an image of {msg.width}x{msg.height} pixels in {msg.encoding}"
        ) from None


def encoding_of(image: Image) -> str:
    """The ROS encoding in which ``image`` is published: mono8, mono16, 32FC1 or bgr8."""
    return _ENCODING_OF[(image.dtype.name, channels(image))]


def fill_image(msg: Any, image: Image, encoding: str | None = None) -> Any:
    """Write ``image`` into a ``sensor_msgs/Image`` (all but the header) and return the message.

    Args:
        msg: the message; its header is left alone.
        image: (H, W) or (H, W, C), native byte order.
        encoding: as named in ``sensor_msgs/image_encodings``; derived from dtype and channels where not given.
    """
    image = np.ascontiguousarray(image)
    msg.height, msg.width = image.shape[:2]
    msg.encoding = encoding or encoding_of(image)
    msg.is_bigendian = int(sys.byteorder == "big")
    msg.step = image.strides[0]
    msg.data = byte_array(image)
    return msg


def channels(image: Image) -> int:
    """1 for (H, W), else the last side."""
    return 1 if image.ndim == 2 else image.shape[2]


def byte_array(contiguous: Image) -> array.array[int]:
    """The bytes of a contiguous array as a message takes them."""
    # The only type that every rclpy release assigns to uint8[] by a plain copy; an ndarray takes a thousand times
    # longer.
    data = array.array("B")
    data.frombytes(contiguous.reshape(-1).view(np.uint8).data)
    return data
