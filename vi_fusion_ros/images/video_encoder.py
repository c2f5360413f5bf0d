"""Numpy arrays to packets of H.264, by PyAV: ``pip install av``. The other way is video.py."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np

from vi_fusion_ros.images.encodings import channels
from vi_fusion_ros.images.video import PACKAGE
from vi_fusion_ros.types import Image

CODEC = "libx264"

_NEVER = 2**30  # pictures between key frames: they are asked for by time, not by count

_BT_601, _LIMITED = 6, 1  # AVCOL_SPC_SMPTE170M and AVCOL_RANGE_MPEG

# ultrafast: the processors belong to the network. zerolatency: each picture leaves at once, as one packet, and needs no
# later one, which Foxglove demands. forced-idr: a key frame that is asked for needs nothing from before it.
_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}


class Packet(NamedTuple):
    """One picture, compressed.

    Attributes:
        data: Annex B; with key frames the parameter sets are in front of the picture.
        key: whether it can be decoded without those before it.
        number: of the picture, counted from the first.
    """

    data: bytes
    key: bool
    number: int


def fault() -> str:
    """Why nothing can be encoded: what is missing; "" where nothing is."""
    try:
        import av
    except ImportError:
        return PACKAGE
    return "" if CODEC in av.codecs_available else f"an FFmpeg with the encoder {CODEC} behind the Python package av"


class VideoEncoder:
    """Encodes the images of one stream, one packet for each. Not thread-safe.

    Chroma has half the resolution (4:2:0), which every decoder reads; colour is BT.601 of limited range, and the stream
    says so. Of an odd width or height the last column or row is repeated, as 4:2:0 has even sizes only.

    Args:
        key_interval_s: there is a key frame at the latest so long after the last one, seconds.
    """

    def __init__(self, key_interval_s: float) -> None:
        self._interval_ns = round(key_interval_s * 1e9)
        self._encoder: Any = None
        self._key_due_ns = 0
        self._number = 0

    def encode(self, image: Image, now_ns: int, key: bool = False) -> Packet:
        """Encode the next image.

        Args:
            image: (H, W) uint8, or (H, W, 3) uint8 BGR; another size than before starts the stream anew.
            now_ns: monotonic time, by which key frames are due.
            key: whether it has to be a key frame.

        Raises:
            ValueError: it cannot be encoded; one sentence.
        """
        import av

        even = _even(image)
        try:
            if self._encoder is None or (self._encoder.height, self._encoder.width) != even.shape[:2]:
                self._encoder = _opened(*even.shape[:2])
                key = True
            # OpenCV rounds, and takes a quarter of the time that FFmpeg's own conversion takes.
            planes = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = self._number
            if key or now_ns >= self._key_due_ns:
                frame.pict_type = av.video.frame.PictureType.I
            packets = self._encoder.encode(frame)
        except (av.FFmpegError, OSError) as error:
            self._encoder = None  # what it refers to is not known: the next picture starts anew
            raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} cannot be encoded: {error}") from error
        self._number += 1
        is_key = any(packet.is_keyframe for packet in packets)
        if is_key:
            self._key_due_ns = now_ns + self._interval_ns
        return Packet(b"".join(bytes(packet) for packet in packets), is_key, self._number - 1)


def _opened(height: int, width: int) -> Any:
    import av

    encoder: Any = av.CodecContext.create(CODEC, "w")
    encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
    encoder.time_base = Fraction(1, 30)  # of no meaning to constant quality; stamps travel in the messages
    encoder.gop_size = _NEVER
    encoder.thread_count = 1  # the other processors belong to the network
    encoder.colorspace, encoder.color_range = _BT_601, _LIMITED
    encoder.options = dict(_OPTIONS)
    encoder.open()
    return encoder


def _even(image: Image) -> Image:
    """BGR of even width and height."""
    colour = image if channels(image) == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    height, width = colour.shape[:2]
    if height % 2 or width % 2:
        colour = np.asarray(cv2.copyMakeBorder(colour, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))
    return np.ascontiguousarray(colour)
