"""Figures of boxes: average precision as COCO has it, and the log-average miss rate of KAIST. pycocotools matches.

A box that is found is a hit where it overlaps enough (intersection over union) with a true box of its label that no
surer one has taken. What is found in a place to be ignored counts neither way. Of a label that is not known everywhere
in a frame, every true box has to be found, but what else is found counts neither way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_weights, known_means
from vi_fusion_ros.evaluation.model_fusion import Found
from vi_fusion_ros.training.datasets.base import Box, Sample

Floats = npt.NDArray[np.float64]

IOUS = np.linspace(0.5, 0.95, 10)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Areas of boxes by name, square pixels; COCO's."""

_RECALLS = np.linspace(0, 1, 101)
_ALARMS = np.logspace(-2, 0, 9)
"""False positives per image at which KAIST's protocol (Hwang et al., CVPR 2015; Dollár et al., PAMI 2012) looks."""


@dataclass(frozen=True)
class Scene:
    """What is in one frame, and what was found in it.

    Attributes:
        size: (width, height), pixels.
        boxes: true objects.
        ignored: places whose objects count neither way.
        complete: labels all of whose objects have a box.
        found: as ``model_fusion.found_objects`` gives them.
    """

    size: tuple[int, int]
    boxes: tuple[Box, ...]
    ignored: tuple[Box, ...]
    complete: frozenset[str]
    found: Found


class Matches(NamedTuple):
    """The D boxes of one label that were found in N frames, the surest first.

    Attributes:
        frame: (D,) index of the frame.
        hit: (IoUs, D), whether it is a hit.
        alarm: (IoUs, D), whether it is a false one. Neither: it does not count.
        objects: (N,) true boxes that count.
        complete: (N,), whether all objects of the label in the frame have a box.
    """

    frame: npt.NDArray[np.intp]
    hit: npt.NDArray[np.bool_]
    alarm: npt.NDArray[np.bool_]
    objects: Floats
    complete: npt.NDArray[np.bool_]


AllMatches = dict[str, dict[str, Matches]]
"""By label and area."""


def complete_labels(sample: Sample) -> frozenset[str]:
    """The labels all of whose objects in the frame have a box."""
    boxed = frozenset(box.label for box in sample.boxes)
    return (sample.known - (sample.present - boxed)) if sample.complete else frozenset()


def require_pycocotools() -> None:
    """Raise ValueError where pycocotools is not installed."""
    if importlib.util.find_spec("pycocotools") is None:
        raise ValueError("evaluating boxes needs pycocotools; install it: pip install pycocotools")


def match(scenes: Sequence[Scene], labels: Sequence[str]) -> AllMatches:
    """Which of the boxes are hits, by COCO's rules.

    Raises:
        ValueError: pycocotools is not installed.
    """
    require_pycocotools()
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it tells of its progress
        coco = COCOeval(_coco(_truth(scenes, labels), scenes, labels), _coco(_found(scenes), scenes, labels), "bbox")
        coco.params.areaRng, coco.params.areaRngLbl = list(map(list, AREAS.values())), list(AREAS)
        coco.params.iouThrs = IOUS
        coco.evaluate()
    entries = iter(coco.evalImgs)
    result: AllMatches = {}
    for label in labels:  # in COCOeval's order: labels, then areas, then frames
        complete = np.array([label in scene.complete for scene in scenes], bool)
        result[label] = {area: _matches([next(entries) for _ in scenes], complete) for area in AREAS}
    return result


def figures(matches: AllMatches, frames: npt.NDArray[np.bool_], intervals: bool) -> dict[str, Any]:
    """Figures of some frames, as JSON has them.

    Args:
        matches: of N frames.
        frames: (N,), which.
        intervals: whether to make bootstrap intervals of AP50 and of the miss rate.

    Returns:
        ``n`` (frames); unless that is 0: ``ap50``, ``ap`` (IoU 0.5 to 0.95) and ``log_average_miss_rate``, means over
        the labels that occur; ``labels``, the same for each, with its number of ``objects``, and by size; ``ci95``.
        Rates are 0 to 1, None where there is no object.
    """
    weights = frames.astype(np.float64)
    if not frames.any():
        return {"n": 0}
    labels = {label: _label_figures(by_area, weights) for label, by_area in matches.items()}
    result: dict[str, Any] = {
        "n": int(frames.sum()),
        **{key: _mean([row[key] for row in labels.values()]) for key in ("ap50", "ap", "log_average_miss_rate")},
        "labels": labels,
    }
    if intervals:
        for name, ends in _intervals(matches, frames).items():
            (labels[name] if name else result)["ci95"] = ends
    return result


def average_precision(matches: Matches, weights: Floats, ious: slice = np.s_[:]) -> Floats:
    """Mean over 101 recalls of the highest precision at that recall or more.

    Args:
        matches: of N frames.
        weights: (N,), how often each frame counts.
        ious: which of ``IOUS``.

    Returns:
        One for each IoU, 0 to 1; NaN without objects.
    """
    hits, alarms, objects = _counts(matches, weights, ious)
    if not objects:
        return np.full(len(hits), np.nan)
    precision = hits / (hits + alarms + np.spacing(1))
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([highest, np.zeros((len(hits), 1))], axis=1)
    places = [np.searchsorted(row, _RECALLS, "left") for row in hits / objects]
    return np.take_along_axis(padded, np.array(places), axis=1).mean(axis=1)


def log_average_miss_rate(matches: Matches, weights: Floats) -> float:
    """Geometric mean of the miss rates at 0.01 to 1 false alarms a frame (IoU 0.5), 0 to 1, lower is better.

    Of frames where every object of the label has a box; where the curve does not reach down to a point, all is missed
    there. NaN without objects.
    """
    weights = weights * matches.complete
    hits, alarms, objects = _counts(matches, weights, np.s_[:1])
    if not objects:
        return float("nan")
    place = np.searchsorted(alarms[0] / weights.sum(), _ALARMS, "right")
    missed = 1 - np.concatenate([[0.0], hits[0] / objects])[place]
    return float(np.exp(np.mean(np.log(np.maximum(missed, 1e-10)))))


def _counts(matches: Matches, weights: Floats, ious: slice) -> tuple[Floats, Floats, float]:
    """Hits and false alarms from the surest box to each, (IoUs, D), and the number of objects."""
    of_box = weights[matches.frame]
    hits, alarms = ((kind[ious] * of_box).cumsum(axis=1) for kind in (matches.hit, matches.alarm))
    return hits, alarms, float(matches.objects @ weights)


def _label_figures(by_area: dict[str, Matches], weights: Floats) -> dict[str, Any]:
    rows = {}
    for area, matches in by_area.items():
        ap = average_precision(matches, weights)
        rows[area] = {"objects": int(matches.objects @ weights), "ap50": _defined(ap[0]), "ap": _defined(ap.mean())}
    miss = _defined(log_average_miss_rate(by_area["all"], weights))
    return {**rows.pop("all"), "log_average_miss_rate": miss, "sizes": rows}


def _intervals(matches: AllMatches, frames: npt.NDArray[np.bool_]) -> dict[str, dict[str, list[float]]]:
    """Of each label, and under no name of their mean."""
    places = np.flatnonzero(frames)

    def statistic(counts: Floats) -> Floats:
        rows = []
        for drawn in counts:
            weights = np.zeros(len(frames))
            weights[places] = drawn
            every = [by_area["all"] for by_area in matches.values()]
            found = np.array(
                [[average_precision(m, weights, np.s_[:1])[0], log_average_miss_rate(m, weights)] for m in every]
            )
            rows.append(np.concatenate([*found, known_means(found)]))
        return np.array(rows)

    low, high = bootstrap_weights(len(places), statistic).reshape(2, -1, 2)
    return {
        name: {
            key: [float(low[i, j]), float(high[i, j])]
            for j, key in enumerate(("ap50", "log_average_miss_rate"))
            if np.isfinite(low[i, j])
        }
        for i, name in enumerate((*matches, ""))
    }


def _matches(entries: list[dict[str, Any] | None], complete: npt.NDArray[np.bool_]) -> Matches:
    """What ``COCOeval`` says of each frame for one label and area; None where there is nothing of the label."""
    there = [(i, entry) for i, entry in enumerate(entries) if entry is not None]
    frame = np.concatenate([np.full(len(e["dtScores"]), i) for i, e in there] or [np.empty(0)]).astype(np.intp)
    score = np.concatenate([np.asarray(e["dtScores"], np.float64) for _, e in there] or [np.empty(0)])
    nothing = np.zeros((len(IOUS), 0), bool)
    taken = np.concatenate([nothing, *(np.asarray(e["dtMatches"]) > 0 for _, e in there)], axis=1)
    ignored = np.concatenate([nothing, *(np.asarray(e["dtIgnore"], bool) for _, e in there)], axis=1)
    objects = np.zeros(len(entries))
    for i, entry in there:
        objects[i] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    order = np.argsort(-score, kind="mergesort")  # as COCO does
    return Matches(frame[order], (taken & ~ignored)[:, order], (~taken & ~ignored)[:, order], objects, complete)


def _truth(scenes: Sequence[Scene], labels: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for i, scene in enumerate(scenes):
        width, height = scene.size
        rows += [
            _annotation(i, labels.index(box.label), _clipped(box, scene.size))
            for box in scene.boxes
            if box.label in labels
        ]
        for k, label in enumerate(labels):
            regions = [_clipped(box, scene.size) for box in scene.ignored]
            if label not in scene.complete:
                regions.append((0.0, 0.0, float(width), float(height)))
            rows += [_annotation(i, k, region) | {"iscrowd": 1} for region in regions]
    return [row for row in rows if row["area"] > 0]


def _found(scenes: Sequence[Scene]) -> list[dict[str, Any]]:
    return [
        _annotation(i, int(row[0]), tuple(row[2:])) | {"score": float(row[1])}
        for i, scene in enumerate(scenes)
        for row in scene.found
    ]


def _annotation(frame: int, label: int, box: tuple[float, ...]) -> dict[str, Any]:
    x0, y0, x1, y1 = map(float, box)
    sides = max(x1 - x0, 0.0), max(y1 - y0, 0.0)
    return {
        "image_id": frame,
        "category_id": label,
        "bbox": [x0, y0, *sides],
        "area": sides[0] * sides[1],
        "iscrowd": 0,
    }


def _clipped(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    x0, x1 = (min(max(x, 0.0), float(size[0])) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, 0.0), float(size[1])) for y in (box.y0, box.y1))
    return x0, y0, x1, y1


def _coco(annotations: list[dict[str, Any]], scenes: Sequence[Scene], labels: Sequence[str]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "width": scene.size[0], "height": scene.size[1]} for i, scene in enumerate(scenes)],
        "categories": [{"id": k, "name": label} for k, label in enumerate(labels)],
        "annotations": [row | {"id": number} for number, row in enumerate(annotations, 1)],  # 0 is "none" to it
    }
    coco.createIndex()
    return coco


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _defined(value: float | np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
