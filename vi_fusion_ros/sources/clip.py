"""A clip: frames with their times, from a video (``video.py``) or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from vi_fusion_ros.images.files import read_image, some_images_by_stem
from vi_fusion_ros.types import Image

FOLDER_RATE_HZ = 30.0
"""Rate at which a folder of images plays where none is asked for."""

_ROUNDING_S = 6e-4  # Matroska and many MP4 files count whole milliseconds


class ClipFrame(NamedTuple):
    """One frame of a clip.

    Attributes:
        time_s: from the beginning of the clip, seconds; rises from frame to frame.
        image: (H, W) or (H, W, 3) BGR; in place of one that cannot be read, why.
    """

    time_s: float
    image: Image | ValueError


class Clip(Protocol):
    """Frames in time order; each iteration starts from the first.

    Attributes:
        rate_hz: frames a second, as far as the file says; the times of the frames may say something else.
        duration_s: from the beginning to the end of the last frame, seconds, as far as the file says.
        notes: sentences about the file that its user should know.
    """

    rate_hz: float
    duration_s: float
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """How many frames, as far as the file says; an iteration may give fewer or more."""
        ...

    def __iter__(self) -> Iterator[ClipFrame]:
        """The frames."""
        ...


class Folder:
    """The images of a folder, in natural order of their names, ``FOLDER_RATE_HZ`` of them a second.

    Args:
        path: of the folder.

    Raises:
        ValueError: it is missing or without images; one sentence with the path.
    """

    rate_hz = FOLDER_RATE_HZ

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ValueError(f"{path} is missing; expected a folder of images")
        self._paths = list(some_images_by_stem(path).values())
        self.duration_s = len(self._paths) / self.rate_hz
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many images."""
        return len(self._paths)

    def __iter__(self) -> Iterator[ClipFrame]:
        """The images; in place of one that cannot be read, a ValueError that names it."""
        for number, path in enumerate(self._paths):
            yield ClipFrame(number / self.rate_hz, _read(path))


def sampled(clip: Clip, rate_hz: float) -> Iterator[Image | ValueError]:
    """The frames that a camera of ``rate_hz`` would have seen of the clip: skipped or repeated, never slowed down.

    Sample k is taken at k / rate_hz seconds and shows the frame that is the latest then; before the first frame, that
    one. The last frame stays for as long as the one before it did.
    """
    sample = 0
    shown: ClipFrame | None = None
    stays_s = 1 / clip.rate_hz
    for frame in clip:
        if shown is not None:
            stays_s = frame.time_s - shown.time_s
            while sample / rate_hz < frame.time_s - _ROUNDING_S:
                yield shown.image
                sample += 1
        shown = frame
    while shown is not None and sample / rate_hz < shown.time_s + stays_s - 2 * _ROUNDING_S:  # of both times
        yield shown.image
        sample += 1


def _read(path: Path) -> Image | ValueError:
    try:
        return read_image(path)
    except ValueError as error:
        return error
