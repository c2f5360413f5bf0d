"""From raw scores to probabilities and thresholds that hold in places nobody trained on.

The scores are those of the selection parts; where networks were judged on sets that they never saw (``leave_one_out``),
a second step corrects the first one's log-odds by what came of them there. Per mode and label: ``probability =
sigmoid((score - bias) / temperature)`` (Platt scaling), and the smallest threshold at which at most a given share of
the frames without the label is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import Calibration, sigmoid
from vi_fusion_ros.training.classification import roc_auc
from vi_fusion_ros.training.datasets.base import Box
from vi_fusion_ros.training.datasets.labels import LABELS

FALSE_ALARMS = 0.05
"""Share of the frames without a label that may be called, 0 to 1."""

NEVER = 0.99
"""Threshold of what is not called."""

_LEAST_AUC = 0.7
"""ROC-AUC below which a label is not called in a mode: its score says hardly more than chance, and any threshold would
call frames of some place and none of others."""

_KEYS = ("temperature", "bias", "thresholds")

_LEAST_SURE = 0.25
_FEWEST = 8
"""Frames with, and frames without a label that a fit needs."""

Floats = npt.NDArray[np.floating]


class Platt(NamedTuple):
    """Scores to probabilities: ``sigmoid((score - bias) / temperature)``."""

    temperature: float
    bias: float

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities, 0 to 1."""
        return sigmoid((scores - self.bias) / self.temperature)


def fit_platt(scores: Floats, truth: npt.NDArray[np.bool_]) -> Platt:
    """The most likely temperature and bias, with Platt's (1999) prior of one more example on each side.

    Newton's method on a logistic regression of one variable, each step halved until it helps: whole steps overshoot
    where the scores are surer than they should be. Where the fit would turn the order of the scores around,
    or there is too little to fit, the scores stay as they are.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < _FEWEST:
        return Platt(1.0, 0.0)
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack((scores, np.ones_like(scores)), 1).astype(np.float64)
    start = np.array([1.0, 0.0])

    def loss(weights: Floats) -> float:
        raw = design @ weights
        return float(np.sum(np.logaddexp(0, raw) - target * raw) + 5e-4 * np.sum((weights - start) ** 2))

    weights, now = start, loss(start)
    for _ in range(50):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - target) + 1e-3 * (weights - start)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(weights - step) > now and np.abs(step).max() > 1e-9:
            step = step / 2
        if np.abs(step).max() <= 1e-9:
            break
        weights = weights - step
        now = loss(weights)
    slope, offset = weights
    return Platt(float(1 / slope), float(-offset / slope)) if slope > 0.05 else Platt(1.0, 0.0)


def threshold_for(probability: Floats, truth: npt.NDArray[np.bool_], false_alarms: float = FALSE_ALARMS) -> float:
    """The smallest threshold that at most ``false_alarms`` of the frames without the label reach; at most ``NEVER``.

    ``NEVER`` where the probabilities hardly tell frames with the label from others, 0.5 where there are too few to say.
    """
    negatives = np.sort(probability[~truth])[::-1]
    if len(negatives) < _FEWEST:
        return 0.5
    if truth.sum() >= _FEWEST and roc_auc(probability, truth) < _LEAST_AUC:
        return NEVER
    allowed = int(false_alarms * len(negatives))
    return float(min(np.nextafter(np.float32(negatives[allowed]), np.float32(1)) + 1e-4, NEVER))


def calibrate(scores: dict[str, Floats], present: Floats, known: Floats) -> dict[str, Any]:
    """Calibration for a manifest.

    Args:
        scores: (N, C) raw scores by mode.
        present: (N, C) of 0 and 1.
        known: (N, C), 1 where presence is known.

    Returns:
        ``temperature``, ``bias`` and ``thresholds``: by mode, then by label.
    """
    made: dict[str, Any] = {key: {} for key in _KEYS}
    for mode, values in scores.items():
        for key in made:
            made[key][mode] = {}
        for index, label in enumerate(LABELS):
            sure = known[:, index] > 0
            truth = present[sure, index] > 0
            platt = fit_platt(values[sure, index], truth)
            made["temperature"][mode][label] = round(platt.temperature, 4)
            made["bias"][mode][label] = round(platt.bias, 4)
            made["thresholds"][mode][label] = round(threshold_for(platt(values[sure, index]), truth), 4)
    return made


def of_mode(made: dict[str, Any], mode: str) -> Calibration:
    """What ``calibrate`` has made for a mode."""
    return Calibration(*(np.array([made[key][mode][label] for label in LABELS]) for key in _KEYS))


def corrected(own: dict[str, Any], by_others: dict[str, Any]) -> dict[str, Any]:
    """A network's own calibration and one of such log-odds, in one step, as ``calibrate`` returns it.

    Args:
        own: of the network's raw scores.
        by_others: of log-odds; its thresholds are kept.
    """
    made: dict[str, Any] = {"temperature": {}, "bias": {}, "thresholds": by_others["thresholds"]}
    for mode, temperatures in own["temperature"].items():
        second, offset = (by_others[key][mode] for key in ("temperature", "bias"))
        made["temperature"][mode] = {label: round(t * second[label], 4) for label, t in temperatures.items()}
        made["bias"][mode] = {
            label: round(own["bias"][mode][label] + t * offset[label], 4) for label, t in temperatures.items()
        }
    return made


def calibrate_objects(
    found: Sequence[npt.NDArray[np.float64]], truth: Sequence[Sequence[Box]]
) -> dict[str, dict[str, float]]:
    """Calibration of the object map from fully labelled frames.

    A found object is right where it is the surest one that overlaps a true box of its label by at least half (IoU).

    Args:
        found: for each frame (M, 6): label, raw score, and the box's left, upper, right and lower edge.
        truth: for each frame its boxes.

    Returns:
        ``temperature``, ``bias`` and ``thresholds`` by label. The threshold is the one of the highest F1, but
        not below 0.25: a picture full of boxes that are wrong three times out of four helps nobody.
    """
    made: dict[str, dict[str, float]] = {"temperature": {}, "bias": {}, "thresholds": {}}
    for index, label in enumerate(LABELS):
        rows = [
            _matched(objects[objects[:, 0] == index, 1:], [b for b in boxes if b.label == label])
            for objects, boxes in zip(found, truth, strict=True)
        ]
        scores, right = (np.concatenate(column) for column in zip(*rows, strict=True))
        count = sum(box.label == label for boxes in truth for box in boxes)
        platt = fit_platt(scores, right)
        made["temperature"][label] = round(platt.temperature, 4)
        made["bias"][label] = round(platt.bias, 4)
        made["thresholds"][label] = round(_best_threshold(platt(scores), right, count), 4)
    return made


def _matched(objects: npt.NDArray[np.float64], boxes: Sequence[Box]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Scores of the objects, the surest first, and whether each is right."""
    objects = objects[np.argsort(-objects[:, 0], kind="stable")]
    right, taken = np.zeros(len(objects), bool), np.zeros(len(boxes), bool)
    for number, (_, x0, y0, x1, y1) in enumerate(objects):
        best, place = 0.5, -1
        for k, box in enumerate(boxes):
            shared = max(0.0, min(x1, box.x1) - max(x0, box.x0)) * max(0.0, min(y1, box.y1) - max(y0, box.y0))
            union = (x1 - x0) * (y1 - y0) + (box.x1 - box.x0) * (box.y1 - box.y0) - shared
            if not taken[k] and shared >= best * union:
                best, place = shared / union, k
        if place >= 0:
            right[number] = taken[place] = True
    return objects[:, 0], right


def _best_threshold(probability: Floats, right: npt.NDArray[np.bool_], count: int) -> float:
    if not right.any():
        return 0.5
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + count)
    return float(np.clip(probability[order][int(f1.argmax())] - 1e-4, _LEAST_SURE, 0.95))
