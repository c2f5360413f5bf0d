"""Image messages between numpy and the wire (CDR), with one copy each way. Imports no ROS.

rclpy's own way copies an image three times in each direction: between the wire, a C structure, a Python array and back.
Plain CDR is what every RMW of ROS 2 puts around these messages; the two bytes in front of it say so and are checked.
"""

from __future__ import annotations

import struct
import sys
from typing import NamedTuple

import numpy as np

from vi_fusion_ros.images.encodings import ImageError, encoding_of
from vi_fusion_ros.types import Image

_HEAD = 4  # representation identifier and options; alignment counts from behind them
_PLAIN = {b"\x00\x00": ">", b"\x00\x01": "<", b"\x00\x06": ">", b"\x00\x07": "<"}
"""Representation identifiers of plain CDR, versions 1 and 2, which are alike where nothing is longer than 4 bytes."""


STAMP_SIZE = _HEAD + 8
"""Bytes at the beginning of a serialised message that hold the stamp of its header."""


class Stamp(NamedTuple):
    """As ``builtin_interfaces/Time``."""

    sec: int
    nanosec: int


class Header(NamedTuple):
    """As ``std_msgs/Header``."""

    stamp: Stamp
    frame_id: str


class WireImage(NamedTuple):
    """As ``sensor_msgs/Image``; ``data`` is a view of the serialised message."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


class WireCompressedImage(NamedTuple):
    """As ``sensor_msgs/CompressedImage``; ``data`` is a view of the serialised message."""

    header: Header
    format: str
    data: memoryview


class WirePacket(NamedTuple):
    """What matters of a packet of video; ``data`` is a view of the serialised message."""

    header: Header
    encoding: str
    data: memoryview


def read_image(wire: bytes | memoryview) -> WireImage:
    """A serialised ``sensor_msgs/Image``.

    Raises:
        ImageError: the message is cut off, or is not plain CDR.
    """
    reader = _Reader(wire)
    header = reader.header()
    height, width = reader.u32(), reader.u32()
    encoding, is_bigendian = reader.text(), reader.u8()
    return WireImage(header, height, width, encoding, is_bigendian, reader.u32(), reader.octets())


def read_compressed(wire: bytes | memoryview) -> WireCompressedImage:
    """A serialised ``sensor_msgs/CompressedImage``.

    Raises:
        ImageError: as ``read_image``.
    """
    reader = _Reader(wire)
    return WireCompressedImage(reader.header(), reader.text(), reader.octets())


def read_ffmpeg_packet(wire: bytes | memoryview) -> WirePacket:
    """A serialised ``ffmpeg_image_transport_msgs/FFMPEGPacket``.

    Raises:
        ImageError: as ``read_image``.
    """
    reader = _Reader(wire)
    header, _, _, encoding = reader.header(), reader.u32(), reader.u32(), reader.text()
    reader.skip_u64()
    reader.u8(), reader.u8()
    return WirePacket(header, encoding, reader.octets())


def read_compressed_video(wire: bytes | memoryview) -> WirePacket:
    """A serialised ``foxglove_msgs/CompressedVideo``; its stamp and frame are those of a header.

    Raises:
        ImageError: as ``read_image``.
    """
    reader = _Reader(wire)
    header, data = reader.header(), reader.octets()
    return WirePacket(header, reader.text(), data)


def read_stamp(wire: bytes | memoryview) -> int:
    """The stamp of any serialised message that begins with a header, nanoseconds.

    Raises:
        ImageError: as ``read_image``.
    """
    stamp = _Reader(wire).stamp()
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def image_bytes(stamp: tuple[int, int], frame_id: str, image: Image) -> bytes:
    """An image as a serialised ``sensor_msgs/Image``.

    Args:
        stamp: seconds and nanoseconds.
        frame_id: of the header.
        image: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 BGR.
    """
    image = np.ascontiguousarray(image)
    big = sys.byteorder == "big"
    front = bytearray(b"\x00\x00\x00\x00" if big else b"\x00\x01\x00\x00")
    front += struct.pack("=iI", *stamp)
    _append_text(front, frame_id)
    _align(front)
    front += struct.pack("=II", *image.shape[:2])
    _append_text(front, encoding_of(image))
    front.append(big)
    _align(front)
    front += struct.pack("=II", image.strides[0], image.nbytes)
    return b"".join((front, image.reshape(-1).view(np.uint8).data))


def _append_text(front: bytearray, text: str) -> None:
    octets = text.encode() + b"\0"
    _align(front)
    front += struct.pack("=I", len(octets)) + octets


def _align(front: bytearray) -> None:
    front += bytes(-(len(front) - _HEAD) % 4)


class _Reader:
    """Reads one field after the other."""

    def __init__(self, wire: bytes | memoryview) -> None:
        order = _PLAIN.get(bytes(wire[:2]))
        if order is None or len(wire) < _HEAD:
            raise ImageError(f"serialised image begins with {bytes(wire[:_HEAD]).hex()}; expected plain CDR")
        self._view = memoryview(wire)[_HEAD:]
        self._align_u64 = 4 if bytes(wire[1:2]) in (b"\x06", b"\x07") else 8  # of CDR version 2 and 1
        self._u32, self._i32 = struct.Struct(order + "I"), struct.Struct(order + "i")
        self._at = 0

    def header(self) -> Header:
        return Header(self.stamp(), self.text())

    def stamp(self) -> Stamp:
        return Stamp(self._number(self._i32), self.u32())

    def u32(self) -> int:
        return self._number(self._u32)

    def u8(self) -> int:
        return self._take(1)[0]

    def skip_u64(self) -> None:
        self._at += -self._at % self._align_u64
        self._take(8)

    def text(self) -> str:
        return bytes(self.octets()).rstrip(b"\0").decode(errors="replace")

    def octets(self) -> memoryview:
        """A sequence of octets, or a string with the zero at its end."""
        return self._take(self.u32())

    def _number(self, kind: struct.Struct) -> int:
        self._at += -self._at % 4
        return int(kind.unpack(self._take(4))[0])

    def _take(self, count: int) -> memoryview:
        taken = self._view[self._at : self._at + count]
        if len(taken) != count:
            raise ImageError(
                f"serialised image is cut off: {len(self._view)} bytes, expected {self._at + count} or more"
            )
        self._at += count
        return taken
