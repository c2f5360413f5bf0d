"""Recordings without labels: registered, checked, and cut into what is trained on and what is set aside."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.drift import DriftMonitor, DriftState
from vi_fusion_ros.registration.warp import Registration
from vi_fusion_ros.training.batches.packed import PackedPairs, pooled_presence
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Sample
from vi_fusion_ros.types import Image

MOST_TRAINED, MOST_ASIDE = 400, 48
"""Pairs of all recordings together: neighbours of a video are nearly the same picture."""

MOST_LABELLED = 200
"""Frames of all labelled sets together."""

LEAST_SIDE = 160
"""Pixels: what is smaller is no whole frame."""

_FEWEST = 60
_ASIDE, _GAP = 0.2, 0.02  # shares of a recording
_COMPARED = 16
_MOST_OFF = 4 / 640  # of the width: what the network was trained to bear


class Recording(NamedTuple):
    """One recording, decoded.

    Attributes:
        name: of its file or folder, unique.
        trained: pairs of its first four fifths, evenly thinned.
        aside: pairs of its last fifth, in a row but for the thinning.
        ranges: ``Sample.order`` of both, half-open.
        problems: sentences about pairs that were left out.
    """

    name: str
    trained: PackedPairs
    aside: PackedPairs
    ranges: tuple[tuple[int, int], tuple[int, int]]
    problems: tuple[str, ...]


class RegisteredByRig(PairDataset):
    """Another dataset, its thermal images brought into the visible frame and both cut to where both cameras see.

    Args:
        inner: as the cameras saw it.
        rig: where the thermal camera lies.
        path: of the rig file; what is kept of the pixels is good for its contents alone.
    """

    def __init__(self, inner: PairDataset, rig: Rig, path: Path) -> None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        samples = [replace(sample, registered=True) for sample in inner.samples]
        super().__init__(inner.root, f"{inner.name} by rig {digest}", samples, inner.problems, inner.notes)
        self._inner, self._registration = inner, Registration(rig)

    def containers(self) -> list[Path]:
        """As of the other dataset."""
        return self._inner.containers()

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The pixels of a pair: (H, W, 3) BGR, and (H, W) of the same size."""
        visible, thermal = self._inner.decode(sample)
        try:
            registered, mask, _ = self._registration.apply(thermal, (visible.shape[1], visible.shape[0]))
        except ValueError as error:
            raise DatasetError(f"{sample.thermal}: {error}") from error
        left, top, width, height = cv2.boundingRect(mask)
        part = np.s_[top : top + height, left : left + width]
        return visible[part], registered[part]


def open_recordings(datasets: Sequence[PairDataset], rig: Path | None, cache: Path) -> list[Recording]:
    """Decode recordings and check that their pairs can be learned from.

    Args:
        datasets: the recordings; pairs in the order of time.
        rig: rig file that registers all of them; None where they are registered.
        cache: folder for decoded pixels.

    Raises:
        DatasetError: too few pairs, images of one camera alone, pairs that are not registered, or whose cameras do not
            show the same scene at the same place.
        ValueError: the rig file cannot be used.
    """
    loaded = None if rig is None else Rig.load(rig)
    made: list[Recording] = []
    for dataset in datasets:
        dataset.require()
        if any(sample.camera != "both" for sample in dataset.samples):
            raise DatasetError(f"{dataset.root}: images of one camera alone; expected pairs")
        if loaded is not None and rig is not None:
            dataset = RegisteredByRig(dataset, loaded, rig)
        elif not all(sample.registered for sample in dataset.samples):
            raise DatasetError(
                f"{dataset.root}: its pairs are not registered; expected --rig FILE (vi-fusion calibrate makes one)"
            )
        taken = {recording.name for recording in made}
        name = next(
            n for n in (dataset.root.stem, *(f"{dataset.root.stem}_{k}" for k in range(2, 10_000))) if n not in taken
        )
        made.append(_cut(name, dataset, len(datasets), cache))
    for recording in made:
        _require_same_scene(recording)
    return made


def open_labelled(datasets: Sequence[PairDataset], cache: Path) -> list[PackedPairs]:
    """Decode labelled frames that are judged by, evenly thinned.

    Args:
        datasets: registered pairs, with what is known of them.
        cache: folder for decoded pixels.

    Raises:
        DatasetError: images of one camera alone, pairs that are not registered, or no label that is known to be in some
            frames and not in others.
    """
    made = []
    for dataset in datasets:
        dataset.require()
        if not all(sample.camera == "both" and sample.registered for sample in dataset.samples):
            raise DatasetError(f"{dataset.root}: not registered pairs alone; expected them as labelled frames")
        thinned = copy.copy(dataset)
        thinned.samples = _evenly(dataset.samples, max(MOST_LABELLED // len(datasets), 1))
        made.append(PackedPairs(thinned, cache))
    if made and not can_be_judged_by(made):
        roots = ", ".join(str(dataset.root) for dataset in datasets)
        raise DatasetError(f"{roots}: no label is in some frames and not in others; expected labelled frames")
    return made


def can_be_judged_by(sets: Sequence[PackedPairs]) -> bool:
    """Whether a label is known to be in some frames and not in others."""
    if not sets:
        return False
    present, known = (part > 0 for part in pooled_presence(sets))
    return bool(((present & known).any(0) & (~present & known).any(0)).any())


def _cut(name: str, dataset: PairDataset, recordings: int, cache: Path) -> Recording:
    count = len(dataset.samples)
    if count < _FEWEST:
        raise DatasetError(f"{dataset.root}: {count} pairs; expected {_FEWEST} or more of a recording to adapt to")
    begin = count - round(_ASIDE * count)
    end = begin - max(round(_GAP * count), 1)  # the last pair that is trained on is not nearly the first set aside
    parts = dataset.samples[:end], dataset.samples[begin:]
    before = len(dataset.problems)
    packed = []
    for part, most in zip(parts, (MOST_TRAINED, MOST_ASIDE), strict=True):
        thinned = copy.copy(dataset)
        thinned.samples = _evenly(part, max(most // recordings, 2))
        packed.append(PackedPairs(thinned, cache))
    trained, aside = packed
    smallest = min(min(pairs[i].shape[:2]) for pairs in packed for i in range(len(pairs)))
    if smallest < LEAST_SIDE:
        raise DatasetError(
            f"{dataset.root}: images of {smallest} pixels; expected whole frames of {LEAST_SIDE} or more"
        )
    ranges = [(min(orders), max(orders) + 1) for orders in ([s.order for s in pairs.samples] for pairs in packed)]
    return Recording(name, trained, aside, (ranges[0], ranges[1]), tuple(map(str, dataset.problems[before:])))


def _evenly(samples: list[Sample], most: int) -> list[Sample]:
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    return [samples[i] for i in chosen]


def _require_same_scene(recording: Recording) -> None:
    """Raise where the structure of both cameras' images does not meet, by the evidence of the drift monitor."""
    pairs = recording.trained
    monitor = DriftMonitor(Rig.identity(), correct=False)
    for second, index in enumerate(np.linspace(0, len(pairs) - 1, _COMPARED).round().astype(int)):
        pixels = pairs[int(index)]
        report = monitor.update(
            np.ascontiguousarray(pixels[..., 2::-1]), np.ascontiguousarray(pixels[..., 3]), float(second)
        )
    if report.state is DriftState.UNSURE:
        raise DatasetError(
            f"{recording.name}: the two cameras' images do not show the same things at the same places (confidence "
            f"{report.confidence:.2f}, 0.40 is needed): noise, another rig, or a scene with too little structure; "
            "expected registered pairs"
        )
    width = pairs[0].shape[1]
    if report.residual_px > _MOST_OFF * width:
        raise DatasetError(
            f"{recording.name}: the registration is off by about {report.residual_px:.1f} pixels; expected at most "
            f"{_MOST_OFF * width:.1f} (vi-fusion calibrate scene finds a better rig)"
        )
