"""Two camera streams out of a source: which picture each camera takes, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vi_fusion_ros.images.files import to_grey
from vi_fusion_ros.sources.clip import Clip, Folder, sampled
from vi_fusion_ros.sources.synthetic import COUNTS_PER_KELVIN, SyntheticScene, Truth
from vi_fusion_ros.sources.video import Video
from vi_fusion_ros.types import Image

GREY_KELVIN = (273.15, 323.15)
"""The temperatures that grey levels 0 and 255 of an 8-bit source stand for where it is played as 16 bit."""


@dataclass(frozen=True)
class CameraTiming:
    """How one camera samples the world.

    Attributes:
        rate_hz: frames a second.
        offset_s: constant delay of its stamps, seconds.
        jitter_s: standard deviation of its stamps, seconds; cut off so that stamps keep their order.
        drop: probability that a frame is lost, 0 to 1.
        seed: of jitter and drops.
    """

    rate_hz: float
    offset_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"the rate is {self.rate_hz} Hz; expected a positive number")

    def schedule(self, frames: int | None) -> Iterator[Shot]:
        """When each frame is taken, in order of time, for ever if ``frames`` is None; lost frames are among them."""
        random = np.random.default_rng(self.seed)
        most = 0.45 / self.rate_hz
        number = 0
        while frames is None or number < frames:
            shift = float(np.clip(random.normal(0, self.jitter_s), -most, most)) if self.jitter_s else 0.0
            lost = bool(random.random() < self.drop)
            yield Shot(number, number / self.rate_hz + self.offset_s + shift, lost)
            number += 1


class Shot(NamedTuple):
    """One frame of a schedule: its number, its time in seconds from the start, and whether it is lost."""

    number: int
    time_s: float
    lost: bool


class SyntheticStreams:
    """The synthetic street as two streams.

    Args:
        width: of both images, pixels.
        height: of both images, pixels.
        seed: of the scene.
        thermal_bits: 8 or 16.
        duration_s: length; None for ever.
    """

    native_rate_hz = 30.0
    notes: tuple[str, ...] = ()

    def __init__(self, width: int, height: int, seed: int, thermal_bits: int, duration_s: float | None) -> None:
        self._scene = SyntheticScene(width, height, seed)
        self._deep = thermal_bits == 16
        self.duration_s = duration_s

    def visible(self, rate_hz: float) -> Iterator[Image]:
        """Visible images of a camera of ``rate_hz``."""
        return (self._scene.visible(time_s) for time_s in _times(rate_hz, self.duration_s))

    def thermal(self, rate_hz: float) -> Iterator[Image]:
        """Thermal images of a camera of ``rate_hz``: uint8, or uint16 counts of 0.01 K."""
        paint = self._scene.thermal if self._deep else self._scene.thermal_8_bit
        return (paint(time_s) for time_s in _times(rate_hz, self.duration_s))

    def truth(self, time_s: float) -> Truth | None:
        """What is in the picture."""
        return self._scene.truth(time_s)


class ClipStreams:
    """A pair of videos or folders as two streams; the shorter one ends both.

    Args:
        visible: video or folder.
        thermal: video or folder.
        thermal_bits: 16 plays an 8-bit source as counts of 0.01 K between ``GREY_KELVIN``.
        duration_s: end earlier than the source; None: at its end.

    Attributes:
        notes: sentences about the files that their user should know.

    Raises:
        ValueError: one cannot be read; one sentence with its path.
    """

    def __init__(self, visible: Path, thermal: Path, thermal_bits: int, duration_s: float | None) -> None:
        self._visible, self._thermal = open_clip(visible), open_clip(thermal)
        self._deep = thermal_bits == 16
        lengths = [clip.duration_s for clip in (self._visible, self._thermal)]
        self.duration_s: float | None = min(*lengths, math.inf if duration_s is None else duration_s)
        self.notes = (*self._visible.notes, *self._thermal.notes)
        self.native_rate_hz = max(self._visible.rate_hz, self._thermal.rate_hz)

    def visible(self, rate_hz: float) -> Iterator[Image | ValueError]:
        """Visible images as a camera of ``rate_hz`` would have seen them; a ValueError for one that is broken."""
        return sampled(self._visible, rate_hz)

    def thermal(self, rate_hz: float) -> Iterator[Image | ValueError]:
        """Thermal images, uint8 or uint16, as a camera of ``rate_hz`` would have seen them; a ValueError as above."""
        for image in sampled(self._thermal, rate_hz):
            if isinstance(image, ValueError):
                yield image
                continue
            grey = to_grey(image)
            yield to_counts(grey) if self._deep and grey.dtype == np.uint8 else grey

    def truth(self, time_s: float) -> Truth | None:
        """Nothing is known of what a clip shows."""
        del time_s
        return None


def open_clip(path: Path) -> Clip:
    """A video or a folder of images.

    Raises:
        ValueError: it is neither; one sentence with the path.
    """
    return Folder(path) if path.is_dir() else Video(path)


def to_counts(grey: Image) -> Image:
    """8-bit grey levels to uint16 counts of 0.01 K, linear over ``GREY_KELVIN``."""
    low, high = (kelvin * COUNTS_PER_KELVIN for kelvin in GREY_KELVIN)
    table = np.rint(low + np.arange(256) * (high - low) / 255).astype(np.uint16)
    return np.asarray(table[grey])


def seen_aside(image: Image | ValueError) -> Image | ValueError:
    """What a camera that looks a little aside and has a narrower view sees of an image: a part of it, exactly.

    Args:
        image: (H, W) or (H, W, 3); an error is passed on.

    Returns:
        A view of (5/6 H, 25/32 W), whose pixel (x, y) is the image's (x + W/32, y + H/16), rounded down.
    """
    if isinstance(image, ValueError):
        return image
    height, width = image.shape[:2]
    top, left = height // 16, width // 32
    return image[top : top + height * 5 // 6, left : left + width * 25 // 32]


def frame_count(duration_s: float | None, rate_hz: float) -> int | None:
    """How many frames a camera of ``rate_hz`` takes in ``duration_s``."""
    return None if duration_s is None else max(math.floor(duration_s * rate_hz + 1e-6), 0)


def _times(rate_hz: float, duration_s: float | None) -> Iterator[float]:
    count: Any = frame_count(duration_s, rate_hz)
    number = 0
    while count is None or number < count:
        yield number / rate_hz
        number += 1
