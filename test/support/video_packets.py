"""Video as its transports send it, encoded by PyAV and serialised without the package's code."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np


def encoded(images: Iterable[np.ndarray], codec: str = "libx264", every: int = 5, **options: str) -> Iterator[bytes]:
    """Packets of (H, W, 3) uint8 BGR or (H, W) uint8 images, with a key frame for each so many of them."""
    import av

    context = None
    for number, image in enumerate(images):
        kind = "bgr24" if image.ndim == 3 else "gray"
        if context is None:
            context = av.CodecContext.create(codec, "w")
            context.height, context.width = image.shape[:2]
            context.pix_fmt = "yuv444p" if image.ndim == 3 else "gray"
            context.time_base, context.gop_size = Fraction(1, 30), every
            context.options = {"tune": "zerolatency", "crf": "1", **options}
        frame = av.VideoFrame.from_ndarray(image, format=kind)
        frame.pts = number
        yield from (bytes(packet) for packet in context.encode(frame))
    if context is not None:
        yield from (bytes(packet) for packet in context.encode(None))


_OPTIONS = {
    "libx264": {"crf": "1", "tune": "zerolatency"},
    "libx265": {"crf": "1", "tune": "zerolatency", "x265-params": "log-level=none"},
    "libsvtav1": {"crf": "1", "svtav1-params": "lp=1"},
    "libvpx-vp9": {"crf": "2"},
    "libvpx": {"qmin": "0", "qmax": "2", "b": "20M"},
}


def picture(image: np.ndarray, codec: str) -> bytes:
    """One (H, W, 3) uint8 BGR or (H, W) uint8 image as a packet that needs no other."""
    import av

    context = av.CodecContext.create(codec, "w")
    context.height, context.width = image.shape[:2]
    context.pix_fmt = "yuv420p" if image.ndim == 3 else "gray"
    context.time_base, context.options = Fraction(1, 30), _OPTIONS[codec]
    frame = av.VideoFrame.from_ndarray(image, format="bgr24" if image.ndim == 3 else "gray")
    frame.pts = 0
    (packet,) = [*context.encode(frame), *context.encode(None)]
    return bytes(packet)


def _header(stamp_ns: int, frame_id: str) -> bytes:
    text = frame_id.encode() + b"\0"
    return struct.pack("<iII", *divmod(stamp_ns, 1_000_000_000), len(text)) + text


def _aligned(data: bytes, to: int = 4) -> bytes:
    return data + bytes(-len(data) % to)


def _text(text: str) -> bytes:
    octets = text.encode() + b"\0"
    return struct.pack("<I", len(octets)) + octets


def ffmpeg(stamp_ns: int, data: bytes, encoding: str = "libx264", frame_id: str = "camera") -> bytes:
    """A serialised FFMPEGPacket (CDR, little endian)."""
    body = _aligned(_header(stamp_ns, frame_id)) + struct.pack("<ii", 0, 0) + _text(encoding)
    body = _aligned(_aligned(body, 8) + struct.pack("<QBB", 7, 1, 0))
    return b"\x00\x01\x00\x00" + body + struct.pack("<I", len(data)) + data


def foxglove(stamp_ns: int, data: bytes, format_: str = "h264", frame_id: str = "camera") -> bytes:
    """A serialised CompressedVideo (CDR, little endian)."""
    body = _aligned(_header(stamp_ns, frame_id)) + struct.pack("<I", len(data)) + data
    return b"\x00\x01\x00\x00" + _aligned(body) + _text(format_)
