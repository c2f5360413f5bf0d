"""Where results go: PNG files or a video, and the same with labels and boxes. A file is at its path only when whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2

from vi_fusion_ros.drawing import overlay
from vi_fusion_ros.types import FusionResult, Image

VIDEO_NAME = "fused.mp4"
OVERLAY = "overlay"


Picture = Callable[[FusionResult], Image]
"""What is shown of a result: (H, W) or (H, W, 3) BGR, uint8."""

_LONGEST_STILL_S = 10.0  # a longer gap is a fault of the stamps, which must not fill the disk


class Output(Protocol):
    """A context manager that takes results; after an exception in it, what is not whole is removed."""

    def __enter__(self) -> Output: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Finish the files."""
        ...

    def write(self, name: str, result: FusionResult, time_s: float) -> None:
        """Add a result; ``time_s`` places it in a video."""
        ...


def open_output(folder: Path, rate_hz: float | None, gray: bool) -> Output:
    """The output for stills (``rate_hz`` None), or for a video.

    Args:
        folder: is made where it is missing.
        rate_hz: of the video.
        gray: write luma images, also of a video, and nothing with labels on it.

    Raises:
        OSError: the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if gray:
        return _Images(folder, _luma)
    if rate_hz is None:
        return _Both(_Images(folder, _fused), _Images(folder / OVERLAY, overlay))
    return _Both(_Video(folder / VIDEO_NAME, rate_hz, _fused), _Video(folder / f"{OVERLAY}.mp4", rate_hz, overlay))


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON; a file at ``path`` is replaced only by a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def _fused(result: FusionResult) -> Image:
    return result.fused


def _luma(result: FusionResult) -> Image:
    fused = result.fused
    return fused if fused.ndim == 2 else cv2.cvtColor(fused, cv2.COLOR_BGR2GRAY)


class _Both:
    def __init__(self, *outputs: Output) -> None:
        self._outputs = outputs

    def __enter__(self) -> _Both:
        with ExitStack() as stack:
            for output in self._outputs:
                stack.enter_context(output)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, tb)

    def write(self, name: str, result: FusionResult, time_s: float) -> None:
        for output in self._outputs:
            output.write(name, result, time_s)


class _Images:
    def __init__(self, folder: Path, picture: Picture) -> None:
        self._folder, self._picture = folder, picture

    def __enter__(self) -> _Images:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # each image is finished when it is written

    def write(self, name: str, result: FusionResult, time_s: float) -> None:  # noqa: ARG002 (images have no times)
        self._folder.mkdir(exist_ok=True)
        _, data = cv2.imencode(".png", self._picture(result))
        _replace(self._folder / f"{name}.png", data.tobytes())


class _Video:
    """A video of a constant rate; where the images are further apart, the one before is shown for as long."""

    def __init__(self, path: Path, rate_hz: float, picture: Picture) -> None:
        self._path, self._rate_hz, self._picture = path, rate_hz, picture
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

    def write(self, name: str, result: FusionResult, time_s: float) -> None:  # noqa: ARG002 (frames have no names)
        image = self._picture(result)
        if self._writer is None:
            size = (image.shape[1], image.shape[0])
            self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, size)
            if not self._writer.isOpened():
                raise OSError(f"{self._path} cannot be written as a video of {size[0]}x{size[1]}")
            self._first_s = time_s
        missing = round((time_s - self._first_s) * self._rate_hz) - self._count
        for _ in range(min(missing, round(_LONGEST_STILL_S * self._rate_hz))):
            self._append(self._last)
        self._last = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
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
