"""Figures of classification: what the model said against what is there. scikit-learn computes.

Where each sample shows exactly one label (object crops) the most probable label is the answer. Elsewhere each label
with a known presence is a decision of its own: present from its threshold on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from vi_fusion_ros.evaluation.metrics.intervals import bootstrap
from vi_fusion_ros.evaluation.prediction import MODALITIES, Bools, Judged
from vi_fusion_ros.training.datasets.base import Box
from vi_fusion_ros.training.datasets.labels import ILLUMINATION

Floats = npt.NDArray[np.float64]

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, np.inf)}
"""Areas of objects by name, square pixels, upper end exclusive; COCO's."""

BINS = 15
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def report(judged: Judged) -> dict[str, Any]:
    """All figures as JSON has them; docs/evaluation.md says what each key is."""
    everything = np.ones(len(judged.samples), bool)
    light = np.array([sample.illumination or "" for sample in judged.samples])
    return {
        "n": len(judged.samples),
        "layout": judged.layout,
        "rig": str(judged.rig) if judged.rig else None,
        "labels": list(judged.labels),
        "decision": "most probable label" if judged.exclusive else "threshold of each label",
        **figures(judged, "both", everything),
        "ci95": intervals(judged),
        "day": figures(judged, "both", light == "day"),
        "night": figures(judged, "both", light == "night"),
        "modality": {modality: figures(judged, modality, everything) for modality in MODALITIES},
        "by_size": by_size(judged),
        "confusion": confusion(judged),
        "thresholds": threshold_table(judged),
        "reliability": reliability(judged.probability("both")[judged.known], judged.present[judged.known]),
        "illumination": illumination(judged),
        "partial": bool(judged.problems),
        "problems": judged.problems,
    }


def figures(judged: Judged, condition: str, rows: Bools) -> dict[str, Any]:
    """Figures of some samples under one of the conditions.

    Args:
        judged: N samples.
        condition: one of ``judged.conditions``.
        rows: (N,), which samples.

    Returns:
        ``n``; unless that is 0: ``macro_f1`` (over labels that occur), ``micro_f1``, ``accuracy`` (share of right
        answers, or of right decisions), ``roc_auc`` and ``average_precision`` (means over labels), ``ece``, and
        ``by_class``. All 0 to 1, None where undefined.
    """
    present, known = judged.present[rows], judged.known_under(condition)[rows]
    probability, decided = judged.probability(condition)[rows], judged.decided(condition)[rows]
    if not known.any():
        return {"n": 0}
    by_class = {
        label: _label_figures(present[there, k], decided[there, k], probability[there, k])
        for k, label in enumerate(judged.labels)
        for there in [known[:, k]]
    }
    occurring = [row for row in by_class.values() if row["n"]]
    micro = precision_recall_fscore_support(present[known], decided[known], average="binary", zero_division=0)
    right = (present == decided).all(axis=1) if judged.exclusive else (present == decided)[known]
    return {
        "n": len(present),
        "macro_f1": _mean([row["f1"] for row in occurring]),
        "macro_precision": _mean([row["precision"] for row in occurring]),
        "macro_recall": _mean([row["recall"] for row in occurring]),
        "micro_f1": float(micro[2]),
        "accuracy": float(right.mean()),
        "roc_auc": _mean([row["roc_auc"] for row in occurring]),
        "average_precision": _mean([row["average_precision"] for row in occurring]),
        "ece": calibration_error(probability[known], present[known]),
        "by_class": by_class,
    }


def intervals(judged: Judged) -> dict[str, list[float]]:
    """95% bootstrap intervals of ``macro_f1`` and ``accuracy`` with both cameras, samples resampled."""
    present, known, decided = judged.present, judged.known, judged.decided("both")
    occurring = (present & known).any(axis=0)
    hit, wrong = (present & decided & known)[:, occurring], ((present != decided) & known)[:, occurring]
    right = (present == decided).all(axis=1) if judged.exclusive else ((present == decided) & known).sum(axis=1)
    asked = np.ones(len(present)) if judged.exclusive else known.sum(axis=1)
    columns = np.column_stack([right, asked, hit, wrong]).astype(np.float64)

    def statistic(means: Floats) -> Floats:
        hits, wrongs = np.split(means[:, 2:], 2, axis=1)
        # F1 = 2 TP / (2 TP + FP + FN); a label that a resample lacks counts as 0 only if it was also never claimed.
        f1 = 2 * hits / np.maximum(2 * hits + wrongs, 1e-12)
        return np.column_stack([f1.mean(axis=1), means[:, 0] / means[:, 1]])

    if not occurring.any():
        return {}
    ends = bootstrap(columns, statistic)
    return {name: [float(low), float(high)] for name, low, high in zip(("macro_f1", "accuracy"), *ends, strict=True)}


def _areas(boxes: tuple[Box, ...], label: str) -> list[float]:
    return [(box.x1 - box.x0) * (box.y1 - box.y0) for box in boxes if box.label == label]


def by_size(judged: Judged) -> dict[str, Any]:
    """Recall of the present labels by the area of the object: of the crop, or of the label's largest box."""
    areas = np.full(judged.present.shape, np.nan)
    for i, (sample, verdict) in enumerate(zip(judged.samples, judged.verdicts, strict=True)):
        for k, label in enumerate(judged.labels):
            boxes = _areas(sample.boxes, label) or _areas(sample.thermal_boxes, label)  # FLIR may have these alone
            if judged.exclusive and label in sample.present:
                boxes = [float(verdict.size[0] * verdict.size[1])]
            areas[i, k] = max(boxes, default=np.nan)
    decided = judged.decided("both")
    result = {}
    for name, (low, high) in SIZES.items():
        inside = (areas >= low) & (areas < high)
        result[name] = {
            **_recall(decided[inside]),
            "by_class": {label: _recall(decided[inside[:, k], k]) for k, label in enumerate(judged.labels)},
        }
    return result


def confusion(judged: Judged) -> dict[str, Any]:
    """Counts, rows are the truth: labels by labels, or for each label (absent, present) by (absent, present)."""
    present, decided, known = judged.present, judged.decided("both"), judged.known
    if judged.exclusive:
        matrix = confusion_matrix(present.argmax(axis=1), decided.argmax(axis=1), labels=range(len(judged.labels)))
        return {"labels": list(judged.labels), "counts": matrix.tolist()}
    return {
        label: confusion_matrix(present[known[:, k], k], decided[known[:, k], k], labels=[False, True]).tolist()
        for k, label in enumerate(judged.labels)
        if known[:, k].any()
    }


def threshold_table(judged: Judged) -> dict[str, list[dict[str, float]]]:
    """Precision, recall and F1 of each label's presence, were its threshold another."""
    probability, table = judged.probability("both"), {}
    for k, label in enumerate(judged.labels):
        there = judged.known[:, k]
        table[label] = [
            {"threshold": threshold, **_decision_figures(judged.present[there, k], probability[there, k] >= threshold)}
            for threshold in sorted({*THRESHOLDS, float(judged.thresholds_under("both")[k])})
        ]
    return table


def reliability(probability: Floats, present: Bools) -> list[dict[str, float]]:
    """How often a label is there, by the probability that the model gave it, in 15 equal bins; empty ones left out.

    Args:
        probability: (N,), 0 to 1.
        present: (N,).
    """
    frequency, mean = calibration_curve(present, probability, n_bins=BINS, strategy="uniform")
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probability), minlength=BINS)
    return [
        {"n": int(n), "probability": float(p), "frequency": float(f)}
        for n, p, f in zip(counts[counts > 0], mean, frequency, strict=True)
    ]


def calibration_error(probability: Floats, present: Bools) -> float:
    """ECE: mean distance of probability and frequency over the bins of ``reliability``, weighted by their counts."""
    bins = reliability(probability, present)
    total = sum(row["n"] for row in bins)
    return float(sum(row["n"] * abs(row["probability"] - row["frequency"]) for row in bins) / total)


def illumination(judged: Judged) -> dict[str, Any]:
    """How often day and night are told apart, where known; confusion counts with the truth in rows."""
    pairs = [
        (sample.illumination, verdict.illumination)
        for sample, verdict in zip(judged.samples, judged.verdicts, strict=True)
        if sample.illumination is not None
    ]
    if not pairs:
        return {"n": 0}
    truth, said = zip(*pairs, strict=True)
    counts = confusion_matrix(truth, said, labels=list(ILLUMINATION))
    return {
        "n": len(pairs),
        "accuracy": float(np.mean([a == b for a, b in pairs])),
        "labels": list(ILLUMINATION),
        "counts": counts.tolist(),
    }


def _label_figures(present: Bools, decided: Bools, probability: Floats) -> dict[str, Any]:
    both = bool(present.any() and not present.all())
    return {
        "n": int(present.sum()),
        **_decision_figures(present, decided),
        "roc_auc": float(roc_auc_score(present, probability)) if both else None,
        "average_precision": float(average_precision_score(present, probability)) if present.any() else None,
        "ece": calibration_error(probability, present) if len(present) else None,
    }


def _decision_figures(present: Bools, decided: Bools) -> dict[str, float]:
    if not len(present):
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    precision, recall, f1, _ = precision_recall_fscore_support(
        present, decided, average="binary", pos_label=True, zero_division=0
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _recall(decided: Bools) -> dict[str, Any]:
    return {"n": len(decided), "recall": float(decided.mean()) if len(decided) else None}


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
