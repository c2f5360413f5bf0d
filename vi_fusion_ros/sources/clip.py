"""A clip: frames in time order with a rate, from a video or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2

from vi_fusion_ros.images.files import images_by_stem, read_image
from vi_fusion_ros.types import Image

FOLDER_RATE_HZ = 30.0
"""Rate at which a folder of images plays where none is asked for."""


class Clip(Protocol):
    """Frames in time order; each iteration starts from the first.

    Attributes:
        rate_hz: frames a second; frame n belongs to the time n / rate_hz.
    """

    rate_hz: float

    def __len__(self) -> int:
        """How many frames, as far as the file says; an iteration may end earlier."""
        ...

    def __iter__(self) -> Iterator[Image | ValueError]:
        """The frames, (H, W) or (H, W, 3) BGR; in place of one that cannot be read, why."""
        ...


class Video:
    """The frames of a video file.

    Args:
        path: of the file.

    Raises:
        ValueError: it is missing, not a video, or without frames; one sentence with the path.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ValueError(f"{path} is missing; expected a video")
        self._path = path
        capture = cv2.VideoCapture(str(path))
        self.rate_hz = float(capture.get(cv2.CAP_PROP_FPS))
        self._count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        usable = capture.isOpened() and self.rate_hz > 0 and self._count > 0 and capture.grab()
        capture.release()
        if not usable:
            raise ValueError(f"{path} cannot be read as a video")

    def __len__(self) -> int:
        """Frames by the file's header."""
        return self._count

    def __iter__(self) -> Iterator[Image]:
        """The frames that can be decoded, (H, W, 3) uint8 BGR."""
        capture = cv2.VideoCapture(str(self._path))
        try:
            while (step := capture.read())[0]:
                yield step[1]
        finally:
            capture.release()


class Folder:
    """The images of a folder, in the order of their names.

    Args:
        path: of the folder.

    Raises:
        ValueError: it is missing or without images; one sentence with the path.
    """

    rate_hz = FOLDER_RATE_HZ

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ValueError(f"{path} is missing; expected a folder of images")
        self._paths = list(images_by_stem(path).values())

    def __len__(self) -> int:
        """How many images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[Image | ValueError]:
        """The images; in place of one that cannot be read, a ValueError that names it."""
        for path in self._paths:
            try:
                yield read_image(path)
            except ValueError as error:
                yield error


def sampled(clip: Clip, rate_hz: float) -> Iterator[Image | ValueError]:
    """The frames that a camera of ``rate_hz`` would have seen of the clip: skipped or repeated, never slowed down.

    Sample k shows frame floor(k / rate_hz * clip.rate_hz).
    """
    sample = 0
    for number, image in enumerate(clip):
        while int(sample / rate_hz * clip.rate_hz + 1e-6) == number:
            yield image
            sample += 1
