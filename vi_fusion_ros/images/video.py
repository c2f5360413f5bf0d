"""Packets of H.264 and its like to numpy arrays, by PyAV: ``pip install av``. Nothing else needs it.

A picture of a video needs the packets before it. So packets are decoded as they arrive, in order, one reader for each
topic, and not only once they are used as other images are.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from vi_fusion_ros.errors import printable
from vi_fusion_ros.images.encodings import ImageError
from vi_fusion_ros.images.wire_format import Header, WirePacket, read_compressed_video, read_ffmpeg_packet
from vi_fusion_ros.types import Image

FFMPEG, FOXGLOVE = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "foxglove_msgs/msg/CompressedVideo"

PACKETS: dict[str, Callable[[bytes | memoryview], WirePacket]] = {
    FFMPEG: read_ffmpeg_packet,
    FOXGLOVE: read_compressed_video,
}
"""How the serialised messages of each type are read."""

PACKAGE = "the Python package av: pip install av"
"""What video needs, and where it comes from; the end of a sentence."""

MISSING = f"video needs {PACKAGE}"

_MAX_PIXELS = 2**25  # as of other compressed images
_HELD = 32  # packets whose pictures have not come; B-frames hold back fewer
_DECODERS = {"264": "h264", "265": "hevc", "hevc": "hevc", "av1": "libdav1d", "vp9": "vp9", "vp8": "vp8"}
"""Decoders by what names of encoders (libx264, h264_nvenc, hevc_vaapi, ...) contain; FFmpeg's ``av1`` wants a GPU."""

_OPTIONS = {"libdav1d": {"max_frame_delay": "1"}}  # else it holds back as many pictures as it has threads


class Picture(NamedTuple):
    """A decoded picture with the header of its packet."""

    header: Header
    image: Image


def installed() -> bool:
    """Whether PyAV is there."""
    return importlib.util.find_spec("av") is not None


class VideoReader:
    """Reads the serialised messages of one topic, in the order in which they were sent. Not thread-safe.

    Args:
        kind: type of the messages, a key of ``PACKETS``.
    """

    def __init__(self, kind: str) -> None:
        self._read = PACKETS[kind]
        self._encoding = ""
        self._decoder: Any = None
        self._number = 0
        self._headers: dict[int, Header] = {}
        self._ready: deque[Picture] = deque()

    def __call__(self, wire: bytes | memoryview) -> Picture:
        """The next picture: that of this message, or with B-frames one of before.

        Raises:
            ImageError: the message is broken, or there is no picture yet: its key frame was not seen.
        """
        packet = self._read(wire)
        if self._decoder is None or packet.encoding != self._encoding:
            self._open(packet.encoding)
        self._decode(packet)
        if not self._ready:
            raise ImageError(
                f"no picture of a video packet of {len(packet.data)} bytes ({printable(packet.encoding)}): it is "
                "broken or needs a key frame that has not come yet"
            )
        return self._ready.popleft()

    def _open(self, encoding: str) -> None:
        name = encoding.partition(";")[0].lower()  # newer packets name the pixel formats behind it
        codec = next((decoder for part, decoder in _DECODERS.items() if part in name), None)
        if codec is None:
            raise ImageError(
                f"video of encoding '{printable(encoding)}' is not supported; expected H.264, H.265, AV1, VP9 or VP8"
            )
        try:
            import av
        except ImportError:
            raise ImageError(MISSING) from None
        try:
            decoder = av.CodecContext.create(codec, "r")
        except ValueError:
            raise ImageError(
                f"the PyAV that is installed has no decoder {codec} for video of encoding '{printable(encoding)}'; "
                "that of PyPI has it"
            ) from None
        decoder.options = {"max_pixels": str(_MAX_PIXELS), **_OPTIONS.get(codec, {})}
        decoder.thread_type = "SLICE"  # threads for frames would hold back as many pictures
        self._decoder, self._encoding = decoder, encoding
        self._headers.clear()
        self._ready.clear()

    def _decode(self, packet: WirePacket) -> None:
        import av

        if not len(packet.data):
            return  # to the decoder it would be the end of the stream
        part = av.Packet(bytes(packet.data))
        part.pts = part.dts = self._number
        self._headers[self._number] = packet.header
        self._headers.pop(self._number - _HELD, None)
        self._number += 1
        try:
            frames = self._decoder.decode(part)
        except av.FFmpegError:
            return
        for frame in frames:
            header = self._headers.pop(frame.pts, None)
            if header is not None:
                self._ready.append(Picture(header, _pixels(frame)))


def check(_picture: Picture) -> None:
    """Check a picture, of which all is known once it has been read."""


def decode(picture: Picture) -> Image:
    """The pixels of a picture, (H, W) uint8 or uint16, or (H, W, 3) uint8 BGR."""
    return picture.image


def _pixels(frame: Any) -> Image:
    """(H, W) uint8 or uint16 where the video is grey, else (H, W, 3) uint8 BGR."""
    name = frame.format.name
    pixels: Image = frame.to_ndarray(format=name if name in ("gray", "gray16le") else "bgr24")
    return pixels
