"""Decode a dataset once: all pairs as 8-bit pixels in one file that is mapped into memory."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.training.datasets.archives import alone_in
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Sample
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.types import Image

_LOG = logging.getLogger(__name__)
_VERSION = 1


class PackedPairs:
    """Pairs of any size, decoded to (H, W, 4) uint8: R, G, B, thermal.

    Args:
        dataset: where they come from. Pairs that cannot be read are noted in its ``problems``, counted in the log
            and left out.
        cache: folder for the packed pixels, made when missing; a file there is used again while the dataset's files
            keep their size and time.

    Attributes:
        path: its files in the cache, without their suffixes.
        samples: what is known about each pair.

    Raises:
        DatasetError: no pair could be read.
    """

    def __init__(self, dataset: PairDataset, cache: Path) -> None:
        dataset.require()
        self.path = cache / _key(dataset)
        pixels, index = self.path.with_suffix(".bin"), self.path.with_suffix(".json")
        if not index.exists():
            with alone_in(cache):
                if not index.exists():  # another run may have packed it meanwhile
                    _pack(dataset, pixels, index)
        entries = json.loads(index.read_text(encoding="utf-8"))
        by_name = {sample.name: sample for sample in dataset.samples}
        self.samples: list[Sample] = [by_name[name] for name, *_ in entries]
        self._places = [(offset, height, width) for _, offset, height, width in entries]
        self._pixels = np.memmap(pixels, np.uint8, "r")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        """Pair number ``index``: (H, W, 4) uint8, R, G, B, thermal; read-only."""
        offset, height, width = self._places[index]
        return self._pixels[offset : offset + height * width * 4].reshape(height, width, 4)

    @property
    def camera(self) -> str:
        """``both``, or the one camera that the set is of, told by its first sample."""
        return self.samples[0].camera

    def presence(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Presence and whether it is known, (N, C) float32 of 0 and 1 each, C in the order of ``LABELS``."""
        present = np.array([[label in s.present for label in LABELS] for s in self.samples], np.float32)
        known = np.array([[label in s.known for label in LABELS] for s in self.samples], np.float32)
        return present, known

    def illumination(self) -> npt.NDArray[np.int64]:
        """Index of the illumination class of each pair, (N,) int64; -1 where unknown."""
        return np.array([-1 if s.illumination is None else ILLUMINATION.index(s.illumination) for s in self.samples])


def pooled_presence(sets: Iterable[PackedPairs]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """``PackedPairs.presence`` of several sets, one after the other."""
    present, known = (np.concatenate(column) for column in zip(*(one.presence() for one in sets), strict=True))
    return present, known


def grey8(thermal: Image) -> npt.NDArray[np.uint8]:
    """The thermal image as the network gets it at run time, (H, W) uint8: by the node's own tone mapper."""
    if thermal.dtype == np.uint8:
        return np.asarray(thermal, np.uint8)
    from vi_fusion_ros.thermal import ToneMapper  # only 16-bit datasets need it

    return np.asarray(ToneMapper()(thermal), np.uint8)


def _key(dataset: PairDataset) -> str:
    digest = hashlib.sha256(f"{_VERSION} {dataset.name}".encode())
    images = [path for sample in dataset.samples for path in (sample.visible, sample.thermal)]
    for path in (*images, *dataset.containers()):
        stat = path.stat() if path.exists() else None
        digest.update(f"{path} {stat and (stat.st_size, stat.st_mtime_ns)}\n".encode())
    return f"{dataset.name.lower().replace(' ', '-')}-{digest.hexdigest()[:16]}"


def _pack(dataset: PairDataset, pixels: Path, index: Path) -> None:
    entries, offset, before = [], 0, len(dataset.problems)
    with pixels.with_suffix(".part").open("wb") as file:
        for sample, visible, thermal in dataset.readable():
            packed = np.dstack((cv2.cvtColor(np.asarray(visible), cv2.COLOR_BGR2RGB), grey8(thermal)))
            file.write(packed.tobytes())
            entries.append((sample.name, offset, *thermal.shape))
            offset += packed.size
    for problem in dataset.problems[before:]:
        _LOG.warning("skipped %s", problem)
    if len(dataset.problems) > before:
        _LOG.warning("%s: %d of %d pairs skipped", dataset.root, len(dataset.problems) - before, len(dataset.samples))
    if not entries:
        raise DatasetError(f"{dataset.root}: none of its {len(dataset.samples)} pairs could be read")
    pixels.with_suffix(".part").replace(pixels)
    part = index.with_suffix(".json.part")
    part.write_text(json.dumps(entries), encoding="utf-8")
    part.replace(index)  # The index last: its presence says that the pixels are whole
