"""Boxes in one or several sets of frames, each apart and all together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.evaluation.labelled_sets import LabelledSet
from vi_fusion_ros.evaluation.metrics.detection import Scene, complete_labels, figures, match, require_pycocotools
from vi_fusion_ros.evaluation.model_fusion import LEAST, finds_objects, still_engine
from vi_fusion_ros.evaluation.prediction import Judged
from vi_fusion_ros.evaluation.studies.presence import LIGHTS, JudgedSet, judge_sets, pooled
from vi_fusion_ros.training.datasets.base import Sample


def judge_boxes(sets: Sequence[LabelledSet], model: Path, jobs: int) -> list[JudgedSet]:
    """Run the model over every sample whose objects have boxes.

    Args:
        sets: as ``labelled_sets.opened`` gives them.
        model: the ONNX file.
        jobs: number of processes.

    Raises:
        ValueError: the model gives no boxes, a set has none of its labels, or pycocotools is not installed.
    """
    require_pycocotools()
    if not finds_objects(model):
        raise ValueError(f"model {model} has no output of objects, so that there are no boxes to judge")
    labels = frozenset(still_engine(model).manifest.labels)
    return judge_sets([_boxed(one, labels) for one in sets], model, jobs)


def is_boxed(sample: Sample, labels: frozenset[str]) -> bool:
    """Whether boxes found in a frame can be told right from wrong, for one of the labels at least."""
    return bool(labels & complete_labels(sample)) or any(box.label in labels for box in sample.boxes)


def detection_of(judged: Judged, intervals: bool = True) -> dict[str, Any]:
    """Figures under each condition, of all samples, of those by day and of those by night, as JSON has them."""
    light = np.array([sample.illumination or "" for sample in judged.samples])
    result: dict[str, Any] = {"conditions": {}, **{part: {} for part in LIGHTS}}
    for condition in judged.conditions:
        there = np.asarray(np.isfinite(judged.probability(condition)).all(axis=1))
        matches = match(scenes_of(judged, condition), judged.labels)
        result["conditions"][condition] = figures(matches, there, intervals)
        for part in LIGHTS:
            result[part][condition] = figures(matches, np.asarray(there & (light == part)), False)
    return result


def scenes_of(judged: Judged, condition: str) -> list[Scene]:
    """What is in each frame, and what was found under a condition."""
    place = judged.conditions.index(condition)
    return [
        Scene(verdict.size, sample.boxes, sample.ignored, complete_labels(sample), verdict.objects[place])
        for sample, verdict in zip(judged.samples, judged.verdicts, strict=True)
    ]


def summary(sets: Sequence[JudgedSet]) -> dict[str, Any]:
    """The result as JSON has it; docs/evaluation.md says what each key is."""
    together = pooled(sets)
    return {
        "n": len(together.samples),
        "labels": list(together.labels),
        "least_probability": LEAST,
        "sets": {one.chosen.name: {**one.about(), **detection_of(one.judged)} for one in sets},
        "all": detection_of(together),
        "partial": bool(together.problems),
        "problems": together.problems,
    }


def _boxed(one: LabelledSet, labels: frozenset[str]) -> LabelledSet:
    samples = one.open().samples
    if not any(box.label in labels for index in one.indices for box in samples[index].boxes):
        raise ValueError(
            f"{one.wanted.path}: none of its {len(one.indices)} frames has a box of {', '.join(sorted(labels))} in the "
            "visible image; expected some"
        )
    return one.of([index for index in one.indices if is_boxed(samples[index], labels)])
