"""Pairs of frames from files: two images, two folders or two videos."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from vi_fusion_ros.images.files import SUFFIXES, natural_order, read_image, some_images_by_stem
from vi_fusion_ros.sources.video import Video
from vi_fusion_ros.sync.pairing import NearestPairing, PairingPolicy
from vi_fusion_ros.types import Frame, FramePair


@dataclass(frozen=True, eq=False)
class Item:
    """A pair to be.

    Attributes:
        name: of the result, without suffix.
        load: gives the pair; raises ValueError, one sentence, where it cannot be had.
    """

    name: str
    load: Callable[[], FramePair]


class PairSource(Protocol):
    """Pairs in order; iterated once.

    Attributes:
        total: how many to expect, for a progress bar.
        rate_hz: of the pairs, None for stills.
        stills: whether each pair stands alone.
        unpaired: frames without a partner, by reason; complete after the iteration.
        notes: sentences about the files that their user should know.
    """

    total: int
    rate_hz: float | None
    stills: bool
    unpaired: Counter[str]
    notes: tuple[str, ...]

    def __iter__(self) -> Iterator[Item]:
        """The pairs, in order."""
        ...


def open_pairs(visible: Path, thermal: Path, rig_offset_ns: int = 0) -> PairSource:
    """The pairs of two images, two folders (by stem) or two videos (by the times of their frames).

    Args:
        visible: image, folder or video.
        thermal: of the same kind.
        rig_offset_ns: from the rig file, added to the times of thermal frames of videos.

    Raises:
        ValueError: a path is missing, empty or not readable, or the two are of different kinds; one sentence.
    """
    kinds = _kind(visible), _kind(thermal)
    if kinds[0] != kinds[1]:
        raise ValueError(f"{visible} is {kinds[0]} and {thermal} is {kinds[1]}; expected two of one kind")
    if kinds[0] == "an image":
        return _Stills([Item(visible.stem, partial(_load, visible, thermal))])
    if kinds[0] == "a folder":
        return _Stills(_folder_items(visible, thermal))
    return _Videos(visible, thermal, rig_offset_ns)


def _kind(path: Path) -> str:
    if not path.exists():
        raise ValueError(f"{path} is missing; expected an image, a folder or a video")
    if path.is_dir():
        return "a folder"
    return "an image" if path.suffix.lower() in SUFFIXES else "a video"


class _Stills:
    rate_hz: float | None = None
    stills = True
    notes: tuple[str, ...] = ()

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self.total = len(items)
        self.unpaired: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


def _folder_items(visible: Path, thermal: Path) -> list[Item]:
    images = {"visible": some_images_by_stem(visible), "thermal": some_images_by_stem(thermal)}
    items = []
    for stem in sorted(images["visible"].keys() | images["thermal"].keys(), key=natural_order):
        missing = [f"{camera} image" for camera, of_stem in images.items() if stem not in of_stem]
        load = (
            partial(_refuse, f"its {missing[0]} is missing")
            if missing
            else partial(_load, images["visible"][stem], images["thermal"][stem])
        )
        items.append(Item(stem, load))
    return items


def _refuse(reason: str) -> FramePair:
    raise ValueError(reason)


def _load(visible: Path, thermal: Path) -> FramePair:
    return FramePair(Frame(read_image(visible)), Frame(read_image(thermal)))


class _Videos:
    stills = False

    def __init__(self, visible: Path, thermal: Path, rig_offset_ns: int) -> None:
        self._rig_offset_ns = rig_offset_ns
        self._visible, self._thermal = Video(visible), Video(thermal)
        self.rate_hz: float | None = min(self._visible.rate_hz, self._thermal.rate_hz)
        self.total = min(len(self._visible), len(self._thermal))
        self.unpaired: Counter[str] = Counter()
        self.notes = (*self._visible.notes, *self._thermal.notes)

    def __iter__(self) -> Iterator[Item]:
        for number, pair in enumerate(self._pairs()):
            yield Item(f"{number:06d}", partial(_given, pair))

    def _pairs(self) -> Iterator[FramePair]:
        # The nearest frame of the faster video is at most half its period away; a whole one leaves room for rounding.
        period_ns = round(1e9 / max(self._visible.rate_hz, self._thermal.rate_hz))
        # Frames come by corrected time, so that none waits longer than the one that it belongs to.
        offset_ns = self._rig_offset_ns
        policy = PairingPolicy(period_ns, 1_000_000_000, thermal_offset_ns=offset_ns)
        pairing: NearestPairing[Frame] = NearestPairing(policy)
        streams = (
            ((f.stamp_ns, f, pairing.add_visible) for f in _stamped(self._visible)),
            ((f.stamp_ns + offset_ns, f, pairing.add_thermal) for f in _stamped(self._thermal)),
        )
        now_ns = 0
        for time_ns, frame, add in heapq.merge(*streams, key=lambda entry: entry[0]):
            now_ns = max(now_ns, time_ns)
            for pair in add(frame, frame.stamp_ns, now_ns):
                yield FramePair(pair.visible, pair.thermal, pair.skew_ns)
        for pair in pairing.flush(now_ns):
            yield FramePair(pair.visible, pair.thermal, pair.skew_ns)
        self.unpaired.update({reason.value: count for reason, count in pairing.drops.items() if count})


def _given(pair: FramePair) -> FramePair:
    return pair


def _stamped(video: Video) -> Iterator[Frame]:
    for time_s, image in video:
        if not isinstance(image, ValueError):
            yield Frame(image, round(time_s * 1e9))
