"""The frames of a video file, each at the time that its own stamp says, with their full depth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.sources.clip import ClipFrame

_MOST_HZ = 1000.0  # OpenCV gives the time base of the file, up to 1.2 MHz, where it knows no rate
_DEFAULT_HZ = 25.0  # as FFmpeg takes streams that say nothing
_MOST_FRAMES = 10**9
_LATEST_S = 10**8  # unknown stamps come as very large numbers
_NEW_TIME_BASE_S = 1.0  # a larger step back is no disorder
_LEAST_STEP_S = 1e-6


class Video:
    """The frames of a video file; a ``Clip``.

    The times are the frames' own stamps. Where a frame has none, or one that is not later than the one before, it comes
    as much later as the frame before it did. 16-bit grey video keeps its depth.

    Args:
        path: of the file.

    Attributes:
        rate_hz: by the file's header, or measured where that says none.
        duration_s: likewise.
        notes: that colours of more than 8 bits are read as 8 bits.

    Raises:
        ValueError: it is missing, not a video, without frames, or its grey levels have more bits than this OpenCV
            reads; one sentence with the path.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ValueError(f"{path} is missing; expected a video")
        self._path = path
        self._deep = False
        self.notes: tuple[str, ...] = ()
        capture = cv2.VideoCapture(str(path))
        try:
            if not (capture.isOpened() and capture.grab()):
                raise ValueError(f"{path} cannot be read as a video")
            rate_hz, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            grey, bits = _pixel_format(int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)))
        finally:
            capture.release()
        if bits > 8:
            self._keep_depth(grey, bits)
        known = 0 < rate_hz <= _MOST_HZ, 0 < count < _MOST_FRAMES
        self.rate_hz = rate_hz if known[0] else _DEFAULT_HZ
        if all(known):
            self._count, self.duration_s = int(count), count / rate_hz
        else:
            self._measure(known[0])

    def __len__(self) -> int:
        """Frames by the file's header, or counted where that says nothing."""
        return self._count

    def __iter__(self) -> Iterator[ClipFrame]:
        """The frames that can be decoded: (H, W, 3) uint8 BGR, or (H, W) uint16."""
        capture = self._open()
        try:
            for time_s in self._times(capture):
                decoded, image = capture.retrieve()
                if decoded:
                    yield ClipFrame(time_s, image)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if self._deep:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        return capture

    def _times(self, capture: cv2.VideoCapture) -> Iterator[float]:
        """The time of each frame, which is then ready to be retrieved."""
        clock = FrameClock(self.rate_hz)
        while capture.grab():
            yield clock.time_of(capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3)

    def _measure(self, rate_known: bool) -> None:
        """Count the frames of a file whose header says nothing, and take the rate of their stamps."""
        capture = self._open()
        try:
            times = list(self._times(capture))
        finally:
            capture.release()
        self._count = len(times)
        if not rate_known and times[-1] > times[0]:
            self.rate_hz = min((len(times) - 1) / (times[-1] - times[0]), _MOST_HZ)
        self.duration_s = times[-1] + 1 / self.rate_hz

    def _keep_depth(self, grey: bool, bits: int) -> None:
        if not grey:
            self.notes = (f"{self._path}: its colours have {bits} bits and are read as 8 bits",)
            return
        self._deep = True
        capture = self._open() if bits == 16 else None
        image = None if capture is None else capture.read()[1]
        if image is None or image.ndim != 2 or image.dtype != np.uint16:
            raise ValueError(
                f"{self._path}: its grey levels have {bits} bits, of which OpenCV {cv2.__version__} gives 8; expected "
                "8 or 16 bits, little-endian (OpenCV 4.10 reads those), or a folder of 16-bit images"
            )


class FrameClock:
    """Makes rising times of the stamps of frames, whatever the file and OpenCV make of them.

    Args:
        rate_hz: of frames that have no stamps.
    """

    def __init__(self, rate_hz: float) -> None:
        self._step_s = 1 / rate_hz
        self._last_s: float | None = None  # what came of the frame before
        self._newest_s = 0.0  # stamp
        self._shift_s = 0.0  # from stamps to times

    def time_of(self, stamp_s: float) -> float:
        """The time of the next frame, seconds.

        Args:
            stamp_s: from the beginning of the file; 0, negative, huge or not a number where it is not known.
        """
        known = 0 <= stamp_s < _LATEST_S
        if self._last_s is None:
            self._newest_s = self._last_s = stamp_s if known else 0.0
            return self._last_s
        next_s = self._last_s + self._step_s
        step_s = stamp_s - self._newest_s
        if known and step_s > 0:
            next_s = max(stamp_s + self._shift_s, self._last_s + _LEAST_STEP_S)
            self._step_s = step_s
            self._newest_s = stamp_s
        elif known and stamp_s > 0 and step_s < -_NEW_TIME_BASE_S:  # the file goes on with stamps that begin anew
            self._shift_s = next_s - stamp_s
            self._newest_s = stamp_s
        self._last_s = next_s
        return next_s


def _pixel_format(tag: int) -> tuple[bool, int]:
    """Whether pixels are grey, and their bits a channel, by FFmpeg's tag of the pixel format; 8 where it is unknown.

    Formats of more than 8 bits have tags like ``Y1``, 0, bits: a letter, the number of channels, zero or the kind of
    subsampling, and the bits; those of big-endian pixels are the other way round. P010 and its like are written out.
    """
    octets = (tag & 0xFFFFFFFF).to_bytes(4, "little")
    if octets[:1] == b"P" and octets[1:].isdigit():
        return False, 16 if octets[2:] == b"16" else 10
    for kind in (octets, octets[::-1]):
        if kind[:1] in b"YG" and kind[1:2] in b"1234" and 8 < kind[3] <= 16:
            return kind[:2] in (b"Y1", b"Y2"), kind[3]
        if kind[:3] in (b"RGB", b"BGR", b"RBA", b"BRA") and kind[3] in (48, 64):
            return False, 16
    return False, 8
