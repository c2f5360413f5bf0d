"""Where fused images go: PNG files or a video. Nothing appears at its path before it is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2

from vi_fusion_ros.types import Image

VIDEO_NAME = "fused.mp4"

_LONGEST_STILL_S = 10.0  # a longer gap is a fault of the stamps, which must not fill the disk


class Output(Protocol):
    """A context manager that takes fused images; after an exception in it, what is not whole is removed."""

    def __enter__(self) -> Output: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Finish the files."""
        ...

    def write(self, name: str, fused: Image, time_s: float) -> None:
        """Add an image, (H, W) or (H, W, 3) BGR, uint8; ``time_s`` places it in a video."""
        ...


def open_output(folder: Path, rate_hz: float | None, gray: bool) -> Output:
    """The output for stills (``rate_hz`` None), or for a video.

    Args:
        folder: is made where it is missing.
        rate_hz: of the video.
        gray: write luma images, also of a video.

    Raises:
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _Images(folder, gray) if gray or rate_hz is None else _Video(folder / VIDEO_NAME, rate_hz)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON; a file at ``path`` is replaced only by a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


class _Images:
    def __init__(self, folder: Path, gray: bool) -> None:
        self._folder, self._gray = folder, gray

    def __enter__(self) -> _Images:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # each image is finished when it is written

    def write(self, name: str, fused: Image, time_s: float) -> None:  # noqa: ARG002 (images have no times)
        if self._gray and fused.ndim == 3:
            fused = cv2.cvtColor(fused, cv2.COLOR_BGR2GRAY)
        _, data = cv2.imencode(".png", fused)
        _replace(self._folder / f"{name}.png", data.tobytes())


class _Video:
    """A video of a constant rate; where the images are further apart, the one before is shown for as long."""

    def __init__(self, path: Path, rate_hz: float) -> None:
        self._path, self._rate_hz = path, rate_hz
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._writer: Any = None
        self._first_s, self._count = 0.0, 0
        self._last: Any = None

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink(missing_ok=True)

    def write(self, name: str, fused: Image, time_s: float) -> None:  # noqa: ARG002 (frames of a video have no names)
        if self._writer is None:
            size = (fused.shape[1], fused.shape[0])
            self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, size)
            if not self._writer.isOpened():
                raise OSError(f"{self._path} cannot be written as a video of {size[0]}x{size[1]}")
            self._first_s = time_s
        missing = round((time_s - self._first_s) * self._rate_hz) - self._count
        for _ in range(min(missing, round(_LONGEST_STILL_S * self._rate_hz))):
            self._append(self._last)
        self._last = fused if fused.ndim == 3 else cv2.cvtColor(fused, cv2.COLOR_GRAY2BGR)
        self._append(self._last)

    def _append(self, image: Image) -> None:
        self._writer.write(image)
        self._count += 1


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
