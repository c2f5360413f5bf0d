"""Run our model over a labelled dataset, with both cameras and with either one black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.model_fusion import (
    NOTHING,
    Found,
    finds_objects,
    found_objects,
    judged_pipeline,
    still_engine,
    still_pipeline,
)
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.training.datasets import layouts
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Sample
from vi_fusion_ros.types import Frame, FramePair, FusionResult, Image, Mode

LAYOUTS = {name: layout.open for name, layout in layouts.LABELLED.items()}
MODALITIES = {"both": Mode.BOTH, "visible_black": Mode.THERMAL_ONLY, "thermal_black": Mode.VISIBLE_ONLY}
"""Conditions under which a sample is judged, and the cameras that the pipeline then has."""

_ALONE = {"visible": "thermal_black", "thermal": "visible_black"}
"""The only condition under which a sample of one camera alone can be judged."""

CROP_SIDE = 128
"""Crops are judged stretched to a square of this many pixels, as the network was trained on them."""

_CHUNK = 32

Bools = npt.NDArray[np.bool_]


class Verdict(NamedTuple):
    """What the model says of one sample.

    Attributes:
        probabilities: (conditions of the ``Judged``, C), 0 to 1; NaN under a condition that the sample does not have.
        illumination: most probable class with both cameras, or with the one that there is.
        size: (width, height) of the images, pixels.
        objects: for each condition those found, as ``model_fusion.found_objects`` gives them; empty where the model
            says nothing of objects, or nobody asked.
    """

    probabilities: npt.NDArray[np.float64]
    illumination: str
    size: tuple[int, int]
    objects: tuple[Found, ...] = ()


@dataclass
class Judged:
    """The model's verdicts on the samples of a dataset.

    Attributes:
        layout: key of ``LAYOUTS``.
        labels: C labels of the model.
        thresholds: (conditions, C), probability from which a label counts as present.
        samples: N samples.
        verdicts: one a sample.
        problems: sentences about samples that were left out.
        conditions: under which each sample was judged.
        rig: rig file that registered the pairs; None where they came registered.
    """

    layout: str
    labels: tuple[str, ...]
    thresholds: npt.NDArray[np.float64]
    samples: list[Sample]
    verdicts: list[Verdict]
    problems: list[str] = field(default_factory=list)
    conditions: tuple[str, ...] = tuple(MODALITIES)
    rig: Path | None = None

    @property
    def exclusive(self) -> bool:
        """Whether each sample shows exactly one label, so that the most probable one is the answer."""
        return self.layout == "crops"

    @property
    def present(self) -> Bools:
        """(N, C), true presence."""
        return np.array([[label in sample.present for label in self.labels] for sample in self.samples])

    @property
    def known(self) -> Bools:
        """(N, C), whether presence is known."""
        return np.array([[label in sample.known for label in self.labels] for sample in self.samples])

    def probability(self, condition: str) -> npt.NDArray[np.float64]:
        """(N, C) under one of ``conditions``."""
        return np.array([verdict.probabilities[self.conditions.index(condition)] for verdict in self.verdicts])

    def known_under(self, condition: str) -> Bools:
        """(N, C), whether presence is known and the sample was judged under one of ``conditions``."""
        return self.known & np.isfinite(self.probability(condition))

    def decided(self, condition: str) -> Bools:
        """(N, C), which labels the model says are present."""
        probability = self.probability(condition)
        if self.exclusive:
            return np.asarray(np.eye(len(self.labels), dtype=bool)[probability.argmax(axis=1)])
        return np.asarray(probability >= self.thresholds_under(condition))

    def thresholds_under(self, condition: str) -> npt.NDArray[np.float64]:
        """(C,) under one of ``conditions``."""
        return np.asarray(self.thresholds[self.conditions.index(condition)])


def guess_layout(root: Path) -> str:
    """The layout of the dataset in a folder, by its sub-folders.

    Raises:
        ValueError: if there is no such folder or it is like none of ``LAYOUTS``.
    """
    return layouts.guess_layout(root, layouts.LABELLED)


def judge(
    root: Path,
    layout: str,
    model: Path,
    jobs: int,
    rig: Path | None = None,
    indices: Sequence[int] | None = None,
) -> Judged:
    """Run the model over the samples with a known label.

    Args:
        root: folder of the dataset.
        layout: key of ``LAYOUTS``.
        model: the ONNX file.
        jobs: number of processes.
        rig: rig file of the cameras, for a layout that is not registered.
        indices: of the samples to take; all where not given.

    Raises:
        ValueError: if the dataset, the model or the rig cannot be used, or no sample has a known label.
    """
    if rig is None and not layouts.LABELLED[layout].registered:
        raise ValueError(
            f"{root}: the images of the layout {layout} are not registered; expected a rig file (--rig), "
            "which vi-fusion calibrate writes"
        )
    dataset = open_dataset(layout, root)
    dataset.require()
    still_pipeline(model, rig)  # here, where what is wrong with them is one sentence
    manifest = still_engine(model).manifest
    given = range(len(dataset)) if indices is None else indices
    chosen = [i for i in given if is_known(dataset.samples[i], model)]
    if not chosen:
        raise ValueError(
            f"{root}: none of the {len(given)} pairs has a known label of the model; expected some of "
            f"{', '.join(manifest.labels)}"
        )
    verdicts = map_in_order(partial(_verdict, layout, root, model, rig), chosen, jobs, "classification", _CHUNK)
    kept = [(dataset.samples[i], v) for i, v in zip(chosen, verdicts, strict=True) if isinstance(v, Verdict)]
    problems = [str(problem) for problem in dataset.problems] + [v for v in verdicts if isinstance(v, str)]
    if not kept:
        raise ValueError(f"{root}: none of the {len(chosen)} pairs can be read; the first problem: {problems[0]}")
    return replace(judged_of(layout, model, kept, problems), rig=rig)


def views(judged: Judged, root: Path, sample: Sample) -> tuple[Image, Image]:
    """The images of a sample as the pipeline got them, visible and thermal; the thermal one not yet registered.

    Raises:
        DatasetError: they cannot be read.
    """
    visible, thermal = _read(judged.layout, root, judged.rig, sample)
    return network_view(judged.layout, visible), network_view(judged.layout, thermal)


def judged_of(
    layout: str,
    model: Path,
    rows: Sequence[tuple[Sample, Verdict]],
    problems: list[str],
    conditions: Mapping[str, Mode] = MODALITIES,
) -> Judged:
    """The verdicts on some samples, with what their figures need of the model.

    Args:
        layout: of the dataset.
        model: the ONNX file.
        rows: samples and verdicts.
        problems: sentences about samples that were left out.
        conditions: the rows of each verdict, and the cameras that the pipeline had.
    """
    manifest = still_engine(model).manifest
    thresholds = np.array([manifest.calibration(mode).thresholds for mode in conditions.values()])
    samples, verdicts = [sample for sample, _ in rows], [verdict for _, verdict in rows]
    return Judged(layout, manifest.labels, thresholds, samples, verdicts, problems, tuple(conditions))


def is_known(sample: Sample, model: Path) -> bool:
    """Whether the presence of any of the model's labels is known."""
    return bool(sample.known & set(still_engine(model).manifest.labels))


def network_view(layout: str, image: Image) -> Image:
    """An image of a dataset as the network gets it: crops on their square, frames as they are."""
    if layout != "crops":
        return image
    return cv2.resize(image, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)


@cache
def open_dataset(layout: str, root: Path) -> PairDataset:
    """A dataset, opened once a process.

    Raises:
        ValueError: it cannot be used.
    """
    return layouts.LAYOUTS[layout].open(root)


def _read(layout: str, root: Path, rig: Path | None, sample: Sample) -> tuple[Image, Image]:
    dataset = open_dataset(layout, root)
    return dataset.read_views(sample) if rig else dataset.read(sample)


def _verdict(layout: str, root: Path, model: Path, rig: Path | None, index: int) -> Verdict | str:
    sample = open_dataset(layout, root).samples[index]
    try:
        images = _read(layout, root, rig, sample)
    except DatasetError as error:
        return str(error)
    visible, thermal = (network_view(layout, image) for image in images)
    height, width = images[0].shape[:2]
    try:
        return judge_pair(model, visible, thermal, rig, sample.camera)[0]._replace(size=(width, height))
    except ValueError as error:  # sizes that the rig does not fit
        return f"{sample.visible}: {error}"


def judge_pair(
    model: Path, visible: Image, thermal: Image, rig: Path | None = None, camera: str = "both"
) -> tuple[Verdict, FusionResult]:
    """What the model says of a pair with each of ``MODALITIES``, and its result with both cameras.

    Args:
        model: the ONNX file.
        visible: (H, W, 3) uint8 BGR.
        thermal: (H, W), or of any size where there is a rig.
        rig: rig file; None where the pair is registered.
        camera: ``both``, or the only one that there is an image of; the result is then that of this one.

    Raises:
        ValueError: the pipeline cannot use the images.
    """
    pair = FramePair(Frame(visible), Frame(thermal))
    pairs = (pair, FramePair(None, pair.thermal), FramePair(pair.visible, None))
    pipeline, labels = judged_pipeline(model, rig), still_engine(model).manifest.labels
    unknown = np.full(len(labels), np.nan)
    probabilities: list[npt.NDArray[np.float64]] = []
    objects, results = [], []
    for condition, given in zip(MODALITIES, pairs, strict=True):
        if camera != "both" and condition != _ALONE[camera]:
            probabilities.append(unknown)
            objects.append(NOTHING)
            continue
        pipeline.reset()
        results.append(pipeline.process(given))
        probabilities.append(np.array([score.probability for score in results[-1].scores]))
        objects.append(found_objects(results[-1], labels))
    size = (visible.shape[1], visible.shape[0])
    found = tuple(objects) if finds_objects(model) else ()
    return Verdict(np.array(probabilities), results[0].illumination, size, found), results[0]
