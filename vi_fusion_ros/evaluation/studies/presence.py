"""Presence of labels in one or several sets of frames, each apart and all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.evaluation.labelled_sets import LabelledSet
from vi_fusion_ros.evaluation.metrics.classification import illumination
from vi_fusion_ros.evaluation.metrics.presence import STATISTICS, figures
from vi_fusion_ros.evaluation.prediction import Judged, judge

LIGHTS = ("day", "night")


@dataclass
class JudgedSet:
    """The model's verdicts on a set.

    Attributes:
        chosen: the set; its samples may be more than those judged.
        judged: verdicts on the samples with a known label that could be read.
    """

    chosen: LabelledSet
    judged: Judged

    def about(self) -> dict[str, Any]:
        """What the JSON says of the set itself."""
        return {
            "path": str(self.chosen.wanted.path),
            "layout": self.chosen.layout,
            "ranges": [list(ends) for ends in self.chosen.wanted.ranges],
            "n": len(self.judged.samples),
            "partial": bool(self.judged.problems),
            "problems": self.judged.problems,
        }


def judge_sets(sets: Sequence[LabelledSet], model: Path, jobs: int) -> list[JudgedSet]:
    """Run the model over every sample with a known label.

    Args:
        sets: as ``labelled_sets.opened`` gives them.
        model: the ONNX file.
        jobs: number of processes.

    Raises:
        ValueError: a set has no sample with a known label, or none that can be read.
    """
    return [JudgedSet(one, judge(one.root, one.layout, model, jobs, indices=one.indices)) for one in sets]


def pooled(sets: Sequence[JudgedSet]) -> Judged:
    """The verdicts of all sets as if they were one."""
    first = sets[0].judged
    return Judged(
        "several",
        first.labels,
        first.thresholds,
        [sample for one in sets for sample in one.judged.samples],
        [verdict for one in sets for verdict in one.judged.verdicts],
        [f"{one.chosen.name}: {problem}" for one in sets for problem in one.judged.problems],
        first.conditions,
    )


def presence_of(judged: Judged) -> dict[str, Any]:
    """Figures under each condition, of all samples, of those by day and of those by night, as JSON has them."""
    light = np.array([sample.illumination or "" for sample in judged.samples])
    everything = np.ones(len(light), bool)
    return {
        "conditions": {name: figures(judged, name, everything) for name in judged.conditions},
        **{part: {name: figures(judged, name, light == part) for name in judged.conditions} for part in LIGHTS},
        "illumination": illumination(judged),
    }


def summary(sets: Sequence[JudgedSet]) -> dict[str, Any]:
    """The result as JSON has it; docs/evaluation.md says what each key is."""
    together = pooled(sets)
    by_set = {one.chosen.name: {**one.about(), **presence_of(one.judged)} for one in sets}
    return {
        "n": len(together.samples),
        "labels": list(together.labels),
        "thresholds": {
            name: dict(zip(together.labels, together.thresholds_under(name).tolist(), strict=True))
            for name in together.conditions
        },
        "sets": by_set,
        "all": presence_of(together),
        "mean_of_sets": {
            name: _mean_of([row["conditions"][name] for row in by_set.values()]) for name in together.conditions
        },
        "partial": bool(together.problems),
        "problems": together.problems,
    }


def _mean_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the sets in which a figure is defined, and their number."""
    rows = [row for row in rows if row["n"]]
    if not rows:
        return {"n": 0}
    parts = {label: [row["labels"][label] for row in rows] for label in rows[0]["labels"]}
    parts["mean"] = [row["mean"] for row in rows]
    means = {name: {key: _mean(entries, key) for key in (*STATISTICS, "ece")} for name, entries in parts.items()}
    mean = means.pop("mean")
    return {"n": len(rows), "labels": means, "mean": mean}


def _mean(entries: list[dict[str, Any]], key: str) -> float | None:
    values = [entry[key] for entry in entries if entry[key] is not None]
    return float(np.mean(values)) if values else None
