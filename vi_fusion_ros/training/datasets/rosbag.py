"""A rosbag2 as a dataset: the pairs that the node's own pairing makes of two image topics. No labels."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import BagSource, open_bag
from vi_fusion_ros.sync.stamped_image import Codec
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Problem, Sample
from vi_fusion_ros.types import FramePair, Image

_SUFFIXES = (".mcap", ".db3")
_THERMAL_WORDS = ("thermal", "infrared", "lwir", "flir", "boson", "lepton")


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag2 folder or one of its files."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(child.suffix in _SUFFIXES for child in path.iterdir())
    return path.suffix in _SUFFIXES


class RosbagDataset(PairDataset):
    """The pairs of a bag; read them in their order, for going back means reading the bag from its beginning.

    A bag does not say whether its cameras are registered: they are taken to be where both images of the first pair
    have one size. ``order`` is the rank of the pair. The paths of the samples are no files: they name bag, camera and
    stamp (nanoseconds).

    Args:
        root: rosbag2 folder, or one of its ``.mcap`` or ``.db3`` files.
        codecs: how each type of image message is read.
        topics: of the visible and the thermal images; None takes the bag's only two, the thermal one by its name.

    Raises:
        ValueError: the bag cannot be read, or has no such topics.
    """

    def __init__(self, root: Path, codecs: Mapping[str, Codec], topics: tuple[str, str] | None = None) -> None:
        super().__init__(root, "rosbag")
        self._codecs = codecs
        self._stamps: list[tuple[int, int]] = []
        with closing(open_bag(root)) as source:
            self.topics = topics or _image_topics(root, source, codecs)
            self._index(source)
        self._reader = self._read()
        self._held: tuple[int, FramePair] | None = None
        self._guess_registration()
        self.notes.insert(0, f"visible {self.topics[0]}, thermal {self.topics[1]}, paired by nearest stamp")

    def containers(self) -> list[Path]:
        """The files of the bag."""
        return sorted(self.root.iterdir()) if self.root.is_dir() else [self.root]

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The pixels of a pair: (H, W, 3) BGR, and (H, W)."""
        if self._held is None or self._held[0] > sample.order:
            self._reader.close()
            self._reader = self._read()
            self._held = next(self._reader, None)
        while self._held is not None and self._held[0] < sample.order:
            self._held = next(self._reader, None)
        if self._held is None or self._held[0] != sample.order:
            raise DatasetError(
                f"{sample.visible}: this image or its partner cannot be decoded; expected an image message"
            )
        pair = self._held[1]
        assert pair.visible is not None
        assert pair.thermal is not None
        visible, thermal = pair.visible.image, pair.thermal.image
        if visible.dtype != np.uint8:
            raise DatasetError(f"{sample.visible}: pixels of type {visible.dtype}; expected 8 bits in a visible image")
        return (
            np.asarray(cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)) if visible.ndim == 2 else visible,
            np.asarray(cv2.cvtColor(thermal, cv2.COLOR_BGR2GRAY)) if thermal.ndim == 3 else thermal,
        )

    def _index(self, source: BagSource) -> None:
        """Pair the stamps of the whole bag, without decoding an image."""
        checks = {kind: codec._replace(decode=_no_pixels) for kind, codec in self._codecs.items()}
        replay = Replay(source, *self.topics, checks)
        for order, found in enumerate(replay.pairs()):
            stamps = _stamps(found.pair)
            self._stamps.append(stamps)
            visible, thermal = (
                self.root / f"{kind}@{ns}" for kind, ns in zip(("visible", "thermal"), stamps, strict=True)
            )
            self.samples.append(Sample(f"{order:06d}", visible, thermal, order=order))
        self.problems += [Problem(self.root, sentence, "image") for sentence in replay.pair_stream.problems]
        if source.broken:
            self.problems.append(Problem(self.root, f"cannot be read to its end ({source.broken})", "image"))
        dropped = [f"{count} {reason.value}" for reason, count in replay.pair_stream.pairing.drops.items() if count]
        if dropped:
            self.notes.append(f"images without partner, by reason: {', '.join(dropped)}")

    def _read(self) -> Generator[tuple[int, FramePair], None, None]:
        """The pairs that can be decoded, with their order, from the beginning."""
        with closing(open_bag(self.root)) as source:
            order = -1
            for found in Replay(source, *self.topics, self._codecs).pairs():
                order = self._stamps.index(_stamps(found.pair), order + 1)  # stamps repeat where time jumps back
                yield order, found.pair

    def _guess_registration(self) -> None:
        for sample in self.samples:
            try:
                visible, thermal = self.decode(sample)
            except DatasetError:
                continue  # told when the pairs are read
            if visible.shape[:2] == thermal.shape[:2]:
                self.notes.append("taken to be registered, because visible and thermal images have the same size")
            else:
                self.samples = [replace(sample, registered=False) for sample in self.samples]
                self.notes.append("not registered: visible and thermal images differ in size")
            return


def _image_topics(root: Path, source: BagSource, codecs: Mapping[str, Codec]) -> tuple[str, str]:
    images = sorted(topic for topic, kind in source.topics.items() if kind in codecs)
    # Cameras often publish one image raw and compressed; either will do.
    images = [
        topic for topic in images if topic.removesuffix("/compressed") not in images or "/compressed" not in topic
    ]
    thermal = [topic for topic in images if _is_thermal(topic)]
    visible = [topic for topic in images if topic not in thermal]
    if len(visible) != 1 or len(thermal) != 1:
        raise DatasetError(
            f"{root}: cannot tell which of its image topics are meant ({', '.join(images) or 'none'}); expected one "
            f"visible topic and one whose name says thermal, infrared, lwir or ir"
        )
    return visible[0], thermal[0]


def _is_thermal(topic: str) -> bool:
    return any(word in topic.lower() for word in _THERMAL_WORDS) or "ir" in re.split(r"[/_]", topic.lower())


def _no_pixels(_: Any) -> Image:
    return np.zeros((1, 1), np.uint8)


def _stamps(pair: FramePair) -> tuple[int, int]:
    assert pair.visible is not None
    assert pair.thermal is not None
    return pair.visible.stamp_ns, pair.thermal.stamp_ns
