"""Detectors of the literature on the frames on which our model's boxes are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.evaluation.model_fusion import NOTHING, Found
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.evaluation.prediction import MODALITIES, Judged, Verdict, open_dataset
from vi_fusion_ros.evaluation.studies.detection import detection_of
from vi_fusion_ros.evaluation.studies.presence import JudgedSet, pooled
from vi_fusion_ros.methods.base import Detector
from vi_fusion_ros.training.batches.packed import grey8
from vi_fusion_ros.types import Mode


def judge_detector(sets: Sequence[JudgedSet], detector: Detector, jobs: int) -> list[JudgedSet]:
    """Run a detector over the samples that the model was judged on, under the same conditions.

    A missing camera is an image of zeros. Presence is not judged: its probabilities are NaN where the condition was not
    run, else 0.

    Args:
        sets: with the model's verdicts; their images are still there.
        detector: with weights.
        jobs: number of processes.

    Raises:
        ValueError: the weights cannot be used, or find nothing that the model has a label for.
    """
    labels = sets[0].judged.labels
    if not set(detector.labels) & set(labels):
        found, wanted = ", ".join(detector.labels), ", ".join(labels)
        raise ValueError(f"method {detector.name} finds {found}; expected some of the model's labels {wanted}")
    return [JudgedSet(one.chosen, _judged(one, detector, jobs)) for one in sets]


def summary_of(sets: Sequence[JudgedSet], detector: Detector) -> dict[str, Any]:
    """What the JSON says of it: what it is, and the figures of each set and of all together."""
    together = pooled(sets)
    return {
        **detector.as_json(),
        "sets": {one.chosen.name: detection_of(one.judged) for one in sets},
        "all": detection_of(together),
    }


def _judged(one: JudgedSet, detector: Detector, jobs: int) -> Judged:
    places = {sample.name: index for index, sample in enumerate(one.chosen.open().samples)}
    indices = [places[sample.name] for sample in one.judged.samples]
    find = partial(_verdict, one.chosen.layout, one.chosen.root, detector, one.judged.labels)
    return replace(one.judged, verdicts=map_in_order(find, indices, jobs, detector.name))


def _verdict(layout: str, root: Path, detector: Detector, labels: tuple[str, ...], index: int) -> Verdict:
    dataset = open_dataset(layout, root)
    sample = dataset.samples[index]
    visible, thermal = dataset.read(sample)
    thermal = grey8(thermal)
    objects, probabilities = [], np.zeros((len(MODALITIES), len(labels)))
    for row, mode in enumerate(MODALITIES.values()):
        seen, warm = mode != Mode.THERMAL_ONLY, mode != Mode.VISIBLE_ONLY
        if sample.camera != "both" and (seen, warm) != (sample.camera == "visible", sample.camera == "thermal"):
            probabilities[row] = np.nan
            objects.append(NOTHING)
            continue
        objects.append(
            _of_labels(detector.detect(visible * np.uint8(seen), thermal * np.uint8(warm)), detector, labels)
        )
    height, width = visible.shape[:2]
    return Verdict(probabilities, "", (width, height), tuple(objects))


def _of_labels(found: Found, detector: Detector, labels: tuple[str, ...]) -> Found:
    """The boxes under the model's indices of labels; those of others are left out."""
    own = [labels.index(label) if label in labels else -1 for label in detector.labels]
    indices = np.array(own)[found[:, 0].astype(int)]
    return np.column_stack([indices, found[:, 1:]])[indices >= 0]
