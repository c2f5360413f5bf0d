"""What a dataset holds and what is wrong with it: every pair is decoded once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from vi_fusion_ros.training.datasets.base import Box, DatasetError, PairDataset, Problem, Sample
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.types import Image


@dataclass
class Findings:
    """What ``survey`` found.

    Attributes:
        dataset: what was surveyed; its ``problems`` are complete now.
        readable: pairs whose images could be decoded.
        visible_sizes: pairs by "WIDTHxHEIGHT" of the visible image, where there is one.
        thermal_sizes: pairs by "WIDTHxHEIGHT type" of the thermal image, where there is one.
    """

    dataset: PairDataset
    readable: int = 0
    visible_sizes: Counter[str] = field(default_factory=Counter)
    thermal_sizes: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as it goes into JSON."""
        samples, problems = self.dataset.samples, self.dataset.problems
        lights = Counter(sample.illumination for sample in samples)
        return {
            "path": str(self.dataset.root),
            "dataset": self.dataset.name,
            "pairs": len(samples),
            "readable": self.readable,
            "registered": sum(sample.registered for sample in samples),
            "visible_sizes": dict(self.visible_sizes.most_common()),
            "thermal_sizes": dict(self.thermal_sizes.most_common()),
            "labels": {label: _label_counts(label, samples) for label in LABELS},
            "illumination": {name or "unknown": lights[name] for name in (*ILLUMINATION, None)},
            "notes": list(self.dataset.notes),
            "problem_counts": dict(sorted(Counter(p.kind for p in problems).items())),
            "problems": [{"kind": p.kind, "path": str(p.path), "sentence": str(p)} for p in problems],
        }


def survey(dataset: PairDataset) -> Findings:
    """Decode every pair, with a progress bar on a terminal; add what is wrong to the dataset's ``problems``.

    Raises:
        DatasetError: the dataset has no pair at all, or none that can be decoded.
    """
    dataset.require()
    findings = Findings(dataset)
    for sample, visible, thermal in tqdm(dataset.viewable(), "check", len(dataset), unit="pair", disable=None):
        findings.readable += 1
        if sample.camera != "thermal":
            findings.visible_sizes[_size(visible)] += 1
        if sample.camera != "visible":
            findings.thermal_sizes[f"{_size(thermal)} {thermal.dtype}"] += 1
        dataset.problems += _outside(sample, visible, thermal)
    if not findings.readable:
        first = next(problem for problem in dataset.problems if problem.kind == "image")
        raise DatasetError(f"{dataset.root}: none of its {len(dataset)} pairs can be read; first problem: {first}")
    for label in LABELS:
        counts = _label_counts(label, dataset.samples)
        if counts["absent"] and not counts["present"]:
            reason = f"no pair shows a {label}, though the dataset annotates them; expected at least one"
            dataset.problems.append(Problem(dataset.root, reason, "label"))
    return findings


def _label_counts(label: str, samples: list[Sample]) -> dict[str, int]:
    present = sum(label in sample.present for sample in samples)
    known = sum(label in sample.known for sample in samples)
    boxes = sum(box.label == label for sample in samples for box in (*sample.boxes, *sample.thermal_boxes))
    return {"present": present, "absent": known - present, "unknown": len(samples) - known, "boxes": boxes}


def _outside(sample: Sample, visible: Image, thermal: Image) -> list[Problem]:
    """Boxes that do not touch the image that they were drawn in."""
    drawn = ((sample.visible, visible, sample.boxes), (sample.thermal, thermal, sample.thermal_boxes))
    return [
        Problem(path, f"box of a {box.label} at {_corners(box)} lies outside its {_size(image)} image", "label")
        for path, image, boxes in drawn
        for box in boxes
        if box.x1 <= 0 or box.y1 <= 0 or box.x0 >= image.shape[1] or box.y0 >= image.shape[0]
    ]


def _corners(box: Box) -> str:
    return f"[{box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}]"


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
