"""Pairs of frames from files: two images, two folders or two videos."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vi_fusion_ros.frames import Frame, FramePair, Image
from vi_fusion_ros.pairing import NearestPairing, PairingPolicy

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
_SAME_RATE = 1e-3  # relative


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
    """

    total: int
    rate_hz: float | None
    stills: bool
    unpaired: Counter[str]

    def __iter__(self) -> Iterator[Item]:
        """The pairs, in order."""
        ...


def open_pairs(visible: Path, thermal: Path) -> PairSource:
    """The pairs of two images, two folders (by stem) or two videos (by frame number, or by time if rates differ).

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
    return _Videos(visible, thermal)


def _kind(path: Path) -> str:
    if not path.exists():
        raise ValueError(f"{path} is missing; expected an image, a folder or a video")
    if path.is_dir():
        return "a folder"
    return "an image" if path.suffix.lower() in IMAGE_SUFFIXES else "a video"


class _Stills:
    rate_hz: float | None = None
    stills = True

    def __init__(self, items: list[Item]) -> None:
        self._items = items
        self.total = len(items)
        self.unpaired: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


def _folder_items(visible: Path, thermal: Path) -> list[Item]:
    images = {"visible": _images(visible), "thermal": _images(thermal)}
    items = []
    for stem in sorted(images["visible"].keys() | images["thermal"].keys()):
        missing = [f"{camera} image" for camera, of_stem in images.items() if stem not in of_stem]
        load = (
            partial(_refuse, f"its {missing[0]} is missing")
            if missing
            else partial(_load, images["visible"][stem], images["thermal"][stem])
        )
        items.append(Item(stem, load))
    return items


def _images(folder: Path) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            if path.stem in images:
                raise ValueError(f"{folder} has both {images[path.stem].name} and {path.name}; expected one a stem")
            images[path.stem] = path
    if not images:
        raise ValueError(f"{folder} has no image; expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return images


def _refuse(reason: str) -> FramePair:
    raise ValueError(reason)


def _load(visible: Path, thermal: Path) -> FramePair:
    return FramePair(Frame(_read(visible)), Frame(_read(thermal)))


def _read(path: Path) -> Image:
    data = np.fromfile(path, np.uint8)
    image = None
    if data.size:
        try:
            image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
    if image is None:
        raise ValueError(f"{path} cannot be decoded as an image")
    if image.ndim == 3 and image.shape[2] == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.asarray(image)


class _Videos:
    stills = False

    def __init__(self, visible: Path, thermal: Path) -> None:
        self._visible, self._thermal = _Video(visible), _Video(thermal)
        rates = self._visible.rate_hz, self._thermal.rate_hz
        self._same_rate = abs(rates[0] / rates[1] - 1) < _SAME_RATE
        self.rate_hz: float | None = min(rates)
        self.total = min(self._visible.frames, self._thermal.frames)
        self.unpaired: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item]:
        pairs = self._by_number() if self._same_rate else self._by_time()
        for number, pair in enumerate(pairs):
            yield Item(f"{number:06d}", partial(_given, pair))

    def _by_number(self) -> Iterator[FramePair]:
        visible, thermal = iter(self._visible), iter(self._thermal)
        while True:
            pair = next(visible, None), next(thermal, None)
            if pair[0] is None or pair[1] is None:
                break
            yield FramePair(pair[0], pair[1])
        left = sum(frame is not None for frame in pair) + sum(1 for _ in visible) + sum(1 for _ in thermal)
        if left:
            self.unpaired["no_partner"] += left

    def _by_time(self) -> Iterator[FramePair]:
        # The nearest frame of the faster video is at most half its period away; a whole one leaves room for rounding.
        policy = PairingPolicy(round(1e9 / max(self._visible.rate_hz, self._thermal.rate_hz)), 1_000_000_000)
        pairing: NearestPairing[Frame] = NearestPairing(policy)
        streams = (((f, pairing.add_visible) for f in self._visible), ((f, pairing.add_thermal) for f in self._thermal))
        now_ns = 0
        for frame, add in heapq.merge(*streams, key=lambda entry: entry[0].stamp_ns):
            now_ns = frame.stamp_ns
            for pair in add(frame, now_ns, now_ns):
                yield FramePair(pair.visible, pair.thermal, pair.skew_ns)
        for pair in pairing.flush(now_ns):
            yield FramePair(pair.visible, pair.thermal, pair.skew_ns)
        self.unpaired.update({reason.value: count for reason, count in pairing.drops.items() if count})


def _given(pair: FramePair) -> FramePair:
    return pair


class _Video:
    """The frames of a video, stamped n / rate."""

    def __init__(self, path: Path) -> None:
        self._capture = cv2.VideoCapture(str(path))
        self.rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.frames = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not self._capture.isOpened() or self.rate_hz <= 0 or self.frames <= 0:
            raise ValueError(f"{path} cannot be read; expected an image, a folder of images or a video")

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        while True:
            there, image = self._capture.read()
            if not there:
                return
            yield Frame(image, round(number * 1e9 / self.rate_hz))
            number += 1
