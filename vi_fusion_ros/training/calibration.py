"""From raw scores to probabilities and thresholds that hold in places nobody trained on.

The scores come from networks that never saw the set they are judged on (``leave_one_out``), or else from the selection
parts. Per mode and label: ``probability = sigmoid((score - bias) / temperature)`` (Platt scaling), and the smallest
threshold at which at most a given share of frames without the label is called.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.training.classification import sigmoid
from vi_fusion_ros.training.datasets.labels import LABELS

FALSE_ALARMS = 0.05
"""Share of the frames without a label that may be called, 0 to 1."""

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

    Newton's method on a logistic regression of one variable. Where the fit would turn the order of the scores around,
    or there is too little to fit, the scores stay as they are.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < _FEWEST:
        return Platt(1.0, 0.0)
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack((scores, np.ones_like(scores)), 1).astype(np.float64)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = sigmoid(design @ weights)
        gradient = design.T @ (p - target) + 1e-3 * (weights - (1.0, 0.0))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    slope, offset = weights
    return Platt(float(1 / slope), float(-offset / slope)) if slope > 0.05 else Platt(1.0, 0.0)


def threshold_for(probability: Floats, truth: npt.NDArray[np.bool_], false_alarms: float = FALSE_ALARMS) -> float:
    """The smallest threshold at which at most ``false_alarms`` of the frames without the label reach it."""
    negatives = np.sort(probability[~truth])[::-1]
    if len(negatives) < _FEWEST:
        return 0.5
    allowed = int(false_alarms * len(negatives))
    return float(min(np.nextafter(np.float32(negatives[allowed]), np.float32(1)) + 1e-4, 0.99))


def calibrate(scores: dict[str, Floats], present: Floats, known: Floats) -> dict[str, Any]:
    """Calibration for a manifest.

    Args:
        scores: (N, C) raw scores by mode.
        present: (N, C) of 0 and 1.
        known: (N, C), 1 where presence is known.

    Returns:
        ``temperature``, ``bias`` and ``thresholds``: by mode, then by label.
    """
    made: dict[str, Any] = {"temperature": {}, "bias": {}, "thresholds": {}}
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
