"""Figures of classification: F1, AUC, calibration. Plain NumPy, so that reports need no torch.

``logits`` and ``probability`` are (N, C) float, ``present`` is (N, C) of 0 and 1, ``predicted`` and ``truth`` are (N,)
class indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import sigmoid
from vi_fusion_ros.evaluation.metrics.intervals import known_means

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def macro_f1(predicted: Ints, truth: Ints, classes: int) -> float:
    """Mean F1 over the classes that occur in ``truth``, 0 to 1."""
    scores = [_f1(predicted == k, truth == k) for k in range(classes) if np.any(truth == k)]
    return float(np.mean(scores))


def exclusive_report(logits: Floats, present: Floats, labels: Sequence[str], temperature: float) -> dict[str, Any]:
    """Figures for images that show exactly one label: the highest score decides.

    Returns:
        ``count``, ``macro_f1``, ``accuracy``, ``roc_auc`` (mean over labels, one against the rest), ``ece`` of the
        presence probabilities, and for each label ``precision``, ``recall``, ``f1``, ``count``.
    """
    predicted, truth = logits.argmax(1), present.argmax(1)
    classes = range(len(labels))
    return {
        "count": len(truth),
        "macro_f1": macro_f1(predicted, truth, len(labels)),
        "accuracy": float(np.mean(predicted == truth)),
        "roc_auc": float(np.nanmean([roc_auc(logits[:, k], truth == k) for k in classes])),
        "ece": calibration_error(sigmoid(logits / temperature), present),
        "labels": {labels[k]: _label_report(predicted == k, truth == k) for k in classes},
    }


def presence_report(logits: Floats, present: Floats, known: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """Figures for scenes with any number of labels, over what is known: ``map`` and per label ``ap`` and ``auc``."""
    rows = {}
    for k, label in enumerate(labels):
        there = known[:, k] > 0
        truth = present[there, k] > 0
        score = logits[there, k]
        rows[label] = {
            "ap": average_precision(score, truth),
            "auc": roc_auc(score, truth),
            "positives": int(truth.sum()),
            "count": len(truth),
        }
    return {"map": float(known_means(np.array([row["ap"] for row in rows.values()]))), "labels": rows}


def roc_auc(score: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve, 0 to 1, ties counted half; NaN where one side is empty."""
    positive, negative = score[truth], score[~truth]
    if not len(positive) or not len(negative):
        return float("nan")
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def average_precision(score: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """Mean precision at the rank of each positive, 0 to 1; NaN without positives."""
    if not truth.any():
        return float("nan")
    ranked = truth[np.argsort(-score, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[ranked].mean())


def calibration_error(probability: Floats, present: Floats, bins: int = 15) -> float:
    """Expected calibration error over all (image, label) pairs, 0 to 1: mean distance of confidence and frequency."""
    p, y = probability.ravel(), present.ravel()
    place = np.minimum((p * bins).astype(int), bins - 1)
    gap = np.abs(np.bincount(place, p, bins) - np.bincount(place, y, bins))
    return float(gap.sum() / len(p))


def fit_temperature(logits: Floats, present: Floats) -> float:
    """The T that makes ``sigmoid(logits / T)`` most likely (Guo et al., ICML 2017), 0.2 to 10, by golden section."""
    low, high = np.log(0.2), np.log(10.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if _negative_log_likelihood(logits / np.exp(a), present) < _negative_log_likelihood(
            logits / np.exp(b), present
        ):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


def cross_fitted_error(logits: Floats, present: Floats, order: Ints, blocks: int = 4) -> float:
    """ECE where the temperature for each contiguous block of ``order`` was fitted on the other blocks."""
    block = np.argsort(np.argsort(order, kind="stable"), kind="stable") * blocks // len(order)
    probability = np.empty(logits.shape)
    for k in range(blocks):
        inside = block == k
        probability[inside] = sigmoid(logits[inside] / fit_temperature(logits[~inside], present[~inside]))
    return calibration_error(probability, present)


def _negative_log_likelihood(logits: Floats, present: Floats) -> float:
    return float(np.mean(np.logaddexp(0, logits) - logits * present))


def _f1(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * float(np.sum(predicted & truth)) / total if total else 0.0


def _label_report(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> dict[str, float]:
    hit = float(np.sum(predicted & truth))
    return {
        "precision": hit / max(int(predicted.sum()), 1),
        "recall": hit / max(int(truth.sum()), 1),
        "f1": _f1(predicted, truth),
        "count": int(truth.sum()),
    }
