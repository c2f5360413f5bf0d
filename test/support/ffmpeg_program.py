"""The program ffmpeg: another build of FFmpeg than the one in PyAV, driven without any of this package's code."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable

import numpy as np
import pytest

_DELIMITER = 9  # type of the unit that begins a picture where one is asked for


@functools.cache
def _found() -> tuple[str, str]:
    """The program, or why there is none."""
    path = shutil.which("ffmpeg")
    if path is None:
        try:
            import imageio_ffmpeg
        except ImportError:
            return "", "neither the program ffmpeg nor the Python package imageio-ffmpeg is installed"
        path = str(imageio_ffmpeg.get_ffmpeg_exe())
    options = subprocess.run([path, "-hide_banner", "-h", "long"], capture_output=True, text=True).stdout
    return (path, "") if "-fps_mode" in options else ("", f"{path} is older than FFmpeg 5.1")


def missing() -> str:
    """Why the program cannot be used here; "" where it can."""
    return _found()[1]


def ffmpeg() -> str:
    """The program, from PATH or from the package imageio-ffmpeg; the test is skipped where there is none."""
    if missing():
        pytest.skip(missing())
    return _found()[0]


def units(data: bytes) -> list[int]:
    """Types of the units in H.264 of Annex B."""
    return [match[1][0] & 31 for match in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL)]


def decoded(stream: bytes, height: int, width: int) -> np.ndarray:
    """All pictures of a stream of H.264, (N, H, W, 3) uint8 BGR, and nothing that the program says goes unread."""
    command = [ffmpeg(), "-v", "error", "-f", "h264", "-i", "pipe:", "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:"], input=stream, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def encoded(images: Iterable[np.ndarray], *options: str) -> list[bytes]:
    """Packets of H.264 in the order of decoding, one a picture.

    Args:
        images: (H, W, 3) uint8 BGR.
        options: of the encoder.
    """
    stacked = np.stack(list(images))
    size = f"{stacked.shape[2]}x{stacked.shape[1]}"
    command = [ffmpeg(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", "30", "-i", "pipe:",
               "-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "1", *options,
               "-bsf:v", "h264_metadata=aud=insert", "-f", "h264", "pipe:"]  # fmt: skip
    done = subprocess.run(command, input=stacked.tobytes(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    # The delimiters are only there to tell the pictures apart: image transports send none.
    begin, code = [], re.compile(rb"\x00?\x00\x00\x01(?=(.))", re.DOTALL)
    found = [(match.start(), match[1][0] & 31) for match in code.finditer(done.stdout)]
    for number, (at, kind) in enumerate(found):
        if kind == _DELIMITER:
            begin.append((at, found[number + 1][0]))
    ends = [at for at, _ in begin[1:]] + [len(done.stdout)]
    return [done.stdout[behind:end] for (_, behind), end in zip(begin, ends, strict=True)]
