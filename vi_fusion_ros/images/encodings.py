"""Between ROS image messages and numpy arrays, without copies where the encoding allows.

Works on anything shaped like ``sensor_msgs/Image`` or ``CompressedImage`` (rclpy's classes and those that the rosbags
library reads alike), so this module imports no ROS package. ``CV_BRIDGE_ENCODINGS`` (Bayer, YUV) go through cv_bridge
where it is installed. It is not used for the plain ones because it rescales mono16 and, built against NumPy 1, crashes
under NumPy 2 (ros-perception/vision_opencv#535). Nothing is reduced to 8 bits: what cannot be had with its depth is
refused.
"""

from __future__ import annotations

import array
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.errors import one_line
from vi_fusion_ros.images.header import pixel_count
from vi_fusion_ros.types import Image


class ImageError(ValueError):
    """An image message that cannot be used; the text is one sentence that says what was expected."""


@dataclass(frozen=True)
class _Layout:
    dtype: type[np.generic]
    channels: int
    to_bgr: int | None = None  # OpenCV conversion code, None where the array is served as it is

    @property
    def bytes_per_pixel(self) -> int:
        return int(np.dtype(self.dtype).itemsize) * self.channels


PLAIN_ENCODINGS: dict[str, _Layout] = {
    "mono8": _Layout(np.uint8, 1),
    "8UC1": _Layout(np.uint8, 1),
    "mono16": _Layout(np.uint16, 1),
    "16UC1": _Layout(np.uint16, 1),
    "32FC1": _Layout(np.float32, 1),
    "bgr8": _Layout(np.uint8, 3),
    "8UC3": _Layout(np.uint8, 3),  # OpenCV's channel order, as cv_bridge reads it
    "rgb8": _Layout(np.uint8, 3, cv2.COLOR_RGB2BGR),
    "bgra8": _Layout(np.uint8, 4, cv2.COLOR_BGRA2BGR),
    "rgba8": _Layout(np.uint8, 4, cv2.COLOR_RGBA2BGR),
}

CV_BRIDGE_ENCODINGS = frozenset(
    {
        "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8", "yuv422", "uyvy", "yuv422_yuy2", "yuyv",
    }
)  # fmt: skip
"""What cv_bridge turns into 8-bit colour without a loss; of 16-bit encodings it would keep 8 bits."""

_DEEP_ENCODINGS = {"mono16": 16, "16UC1": 16, "16SC1": 16, "32FC1": 32, "64FC1": 64}
"""Bits of single-channel encodings that a JPEG cannot hold."""

MAX_PIXELS = 2**25
"""The most pixels that a compressed image may stand for: 8K video has fewer."""

_ENCODING_OF = {("uint8", 1): "mono8", ("uint16", 1): "mono16", ("float32", 1): "32FC1", ("uint8", 3): "bgr8"}


def check_image(msg: Any) -> None:
    """Check size, step, encoding and data length of a ``sensor_msgs/Image`` without touching a pixel.

    Raises:
        ImageError: if the message contradicts itself or its encoding cannot be decoded here.
    """
    if msg.width == 0 or msg.height == 0:
        raise ImageError(f"image of zero size ({msg.width}x{msg.height}); expected at least one pixel")
    layout = PLAIN_ENCODINGS.get(msg.encoding)
    if layout is None:
        _cv_bridge(msg.encoding)
    elif msg.step < msg.width * layout.bytes_per_pixel:
        raise ImageError(
            f"image step {msg.step} is too small: {msg.width} pixels of {msg.encoding} take "
            f"{msg.width * layout.bytes_per_pixel} bytes a row"
        )
    if len(msg.data) < msg.step * msg.height:
        raise ImageError(
            f"image data is truncated: {len(msg.data)} bytes, expected {msg.step * msg.height} "
            f"(step {msg.step} x height {msg.height})"
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
    layout = PLAIN_ENCODINGS.get(msg.encoding)
    if layout is None:
        return _decode_with_cv_bridge(msg)
    dtype = np.dtype(layout.dtype)
    rows = np.frombuffer(msg.data, np.uint8, msg.step * msg.height).reshape(msg.height, msg.step)
    pixels = rows[:, : msg.width * layout.bytes_per_pixel]
    if dtype.itemsize > 1:
        if msg.step % dtype.itemsize:  # rows that start off alignment cannot be viewed in place
            pixels = np.ascontiguousarray(pixels)
        pixels = pixels.view(dtype)
        if bool(msg.is_bigendian) != (sys.byteorder == "big"):
            pixels = pixels.byteswap()
    if layout.channels > 1:
        pixels = pixels.reshape(msg.height, msg.width, layout.channels)
    return pixels if layout.to_bgr is None else cv2.cvtColor(pixels, layout.to_bgr)


def check_compressed(msg: Any) -> None:
    """Check what can be known of a ``sensor_msgs/CompressedImage`` before decoding it.

    Raises:
        ImageError: if it is empty, of the compressedDepth transport, or a JPEG of an image with more than 8 bits.
    """
    if len(msg.data) == 0:
        raise ImageError("compressed image without data; expected a JPEG, PNG or TIFF stream")
    if "compressedDepth" in msg.format:
        raise ImageError(f"compressed format '{msg.format}' is not supported; use the 'compressed' or raw transport")
    if "jpeg" in msg.format.partition(";")[2]:
        _require_depth(msg, 8)


def decode_compressed(msg: Any) -> Image:
    """The pixels of a ``sensor_msgs/CompressedImage`` (JPEG, PNG or TIFF); 16-bit PNG stays 16 bit.

    Returns:
        (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR.

    Raises:
        ImageError: if OpenCV cannot decode the data, or if it stands for more than ``MAX_PIXELS``.
    """
    check_compressed(msg)
    _check_pixels(msg)
    try:
        pixels = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(f"compressed image of {len(msg.data)} bytes and format '{msg.format}' cannot be decoded")
    _require_depth(msg, pixels.dtype.itemsize * 8)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if (pixels.dtype.name, _channels(pixels)) not in _ENCODING_OF:
        raise ImageError(
            f"compressed image of {_channels(pixels)} channels of {pixels.dtype.name} is not supported; expected "
            "8-bit colour, or 8-bit, 16-bit or float grey"
        )
    return pixels


def _require_depth(msg: Any, bits: int) -> None:
    """Compare with the encoding that the format names first: that of the image before it was compressed."""
    before = msg.format.partition(";")[0].strip()
    if bits < _DEEP_ENCODINGS.get(before, 0):
        raise ImageError(
            f"compressed format '{msg.format}' has kept {bits} of the {_DEEP_ENCODINGS[before]} bits of {before}; "
            "expected PNG: set the publisher's parameter …compressed.format to png, or use the raw transport"
        )


def _check_pixels(msg: Any) -> None:
    try:
        pixels = pixel_count(memoryview(msg.data))
    except ValueError as error:
        raise ImageError(
            f"compressed image of {len(msg.data)} bytes and format '{msg.format}' cannot be decoded: {error}"
        ) from error
    if pixels > MAX_PIXELS:
        raise ImageError(f"compressed image of {pixels} pixels; expected at most {MAX_PIXELS}")


def encoding_of(image: Image) -> str:
    """The ROS encoding in which ``image`` is published: mono8, mono16, 32FC1 or bgr8."""
    return _ENCODING_OF[(image.dtype.name, _channels(image))]


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
    msg.data = _byte_array(image)
    return msg


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
    msg.data = _byte_array(data)
    return msg


def _channels(image: Image) -> int:
    return 1 if image.ndim == 2 else image.shape[2]


def _byte_array(contiguous: Image) -> array.array[int]:
    # The only type that every rclpy release assigns to uint8[] by a plain copy; an ndarray takes a thousand times
    # longer.
    data = array.array("B")
    data.frombytes(contiguous.reshape(-1).view(np.uint8).data)
    return data


def _cv_bridge(encoding: str) -> Any:
    if encoding not in CV_BRIDGE_ENCODINGS:
        others = f"with cv_bridge {', '.join(sorted(CV_BRIDGE_ENCODINGS))}"
        raise ImageError(
            f"image encoding '{encoding}' is not supported; expected {', '.join(PLAIN_ENCODINGS)}; {others}"
        )
    cv_bridge, fault = _load_cv_bridge()
    if cv_bridge is None:
        raise ImageError(
            f"image encoding '{encoding}' needs the package cv_bridge, which {fault}; without it: "
            f"{', '.join(PLAIN_ENCODINGS)}"
        )
    return cv_bridge


@cache  # a module that fails is not loaded again for every image
def _load_cv_bridge() -> tuple[Any, str]:
    """cv_bridge, or None and why not."""
    try:
        import cv_bridge
    except ModuleNotFoundError as error:
        if error.name == "cv_bridge":
            return None, "is not installed (apt: ros-$ROS_DISTRO-cv-bridge)"
        return None, f"cannot be loaded ({_named(error)})"
    except Exception as error:  # built for another NumPy or OpenCV it raises whatever it meets
        return None, f"cannot be loaded ({_named(error)})"
    return cv_bridge, ""


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _decode_with_cv_bridge(msg: Any) -> Image:
    cv_bridge = _cv_bridge(msg.encoding)
    try:
        image: Image = cv_bridge.CvBridge().imgmsg_to_cv2(msg, desired_encoding="bgr8")
    except Exception as error:  # its compiled part is loaded here, and may fail as it does when it is imported
        raise ImageError(f"image encoding '{msg.encoding}' cannot be decoded by cv_bridge: {_named(error)}") from error
    return image
