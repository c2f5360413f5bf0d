"""Figures of presence: how well each label's probability tells the frames that show it from those that do not.

Each label with a known presence is a decision of its own; where it is unknown the frame is left out. A false alarm is a
frame without the label in which the model says that it is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.classification import calibration_error, reliability
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_weights, known_means
from vi_fusion_ros.evaluation.prediction import Bools, Judged

Floats = npt.NDArray[np.float64]

FALSE_ALARMS = {"recall_at_5": 0.05, "recall_at_10": 0.10}
"""Recalls at the threshold that gives at most this false-alarm rate on the very frames that are judged."""

STATISTICS = ("roc_auc", "recall", "false_alarm_rate", *FALSE_ALARMS)
"""Those with an interval, in the order of ``statistics``."""


def figures(judged: Judged, condition: str, rows: Bools) -> dict[str, Any]:
    """Figures of some samples under one condition, as JSON has them.

    Args:
        judged: N samples.
        condition: one of ``judged.conditions``.
        rows: (N,), which samples.

    Returns:
        ``n``, samples with a known label; unless that is 0: ``labels``, for each ``present`` and ``absent`` (samples),
        ``STATISTICS`` with their intervals ``ci95``, ``ece`` and ``reliability``; and ``mean``, the statistics and ECE
        as means over the labels. None where undefined.
    """
    known = judged.known_under(condition) & rows[:, None]
    chosen = known.any(axis=1)
    if not chosen.any():
        return {"n": 0}
    known, present = known[chosen], judged.present[chosen]
    probability, thresholds = judged.probability(condition)[chosen], judged.thresholds_under(condition)

    def all_statistics(weights: Floats) -> Floats:
        by_label = np.stack(
            [
                statistics(weights[:, there], probability[there, k], present[there, k], thresholds[k])
                for k, there in enumerate(known.T)
            ]
        )
        return np.concatenate([*by_label, known_means(by_label)], axis=1)

    count = len(known)
    shape = (len(judged.labels) + 1, len(STATISTICS))
    value = all_statistics(np.ones((1, count))).reshape(shape)
    low, high = bootstrap_weights(count, all_statistics).reshape(2, *shape)
    result: list[dict[str, Any]] = [
        {**_named(value[i]), "ci95": _intervals(low[i], high[i])} for i in range(len(value))
    ]
    labels: dict[str, dict[str, Any]] = {}
    for k, label in enumerate(judged.labels):
        there = known[:, k]
        shown = present[there, k]
        asked = probability[there, k]
        labels[label] = {
            "present": int(shown.sum()),
            "absent": int((~shown).sum()),
            **result[k],
            "ece": calibration_error(asked, shown) if len(shown) else None,
            "reliability": reliability(asked, shown) if len(shown) else [],
        }
    errors = [row["ece"] for row in labels.values() if row["ece"] is not None]
    return {"n": count, "labels": labels, "mean": {**result[-1], "ece": float(np.mean(errors))}}


def statistics(weights: Floats, probability: Floats, present: Bools, threshold: float) -> Floats:
    """``STATISTICS`` of one label over N frames that count as often as ``weights`` says.

    Args:
        weights: (R, N), 0 upward.
        probability: (N,), 0 to 1.
        present: (N,).
        threshold: probability from which the label counts as present.

    Returns:
        (R, 5), 0 to 1; NaN where no frame with the label, or none without it, counts.
    """
    result = np.full((len(weights), len(STATISTICS)), np.nan)
    if not len(probability):
        return result
    order = np.argsort(-probability, kind="stable")
    steps = np.flatnonzero(np.diff(probability[order], prepend=np.inf))  # equal probabilities are one step
    recall, alarms = (_shares(weights[:, order] * which[order], steps) for which in (present, ~present))
    width = np.diff(alarms, axis=1, prepend=0)
    result[:, 0] = (width * (recall - np.diff(recall, axis=1, prepend=0) / 2)).sum(axis=1)
    said = int(np.count_nonzero(probability[order][steps] >= threshold))
    for column, curve in ((1, recall), (2, alarms)):
        result[:, column] = curve[:, said - 1] if said else 0 * curve[:, -1]
    for column, most in enumerate(FALSE_ALARMS.values(), 3):
        # As often said as is allowed; the curve rises, so that counting its points finds the last one.
        allowed = (alarms <= most + 1e-12).sum(axis=1)
        reached = np.take_along_axis(recall, np.maximum(allowed - 1, 0)[:, None], axis=1)[:, 0]
        result[:, column] = np.where(allowed > 0, reached, 0) + 0 * alarms[:, -1] + 0 * recall[:, -1]
    return result


def _shares(weights: Floats, steps: npt.NDArray[np.intp]) -> Floats:
    """(R, steps): share of the weight from the first frame to the end of each step; NaN where there is no weight."""
    total = np.add.reduceat(weights, steps, axis=1).cumsum(axis=1)
    shares = np.full(total.shape, np.nan)
    np.divide(total, total[:, -1:], out=shares, where=total[:, -1:] > 0)
    return shares


def _named(values: Floats) -> dict[str, float | None]:
    return {name: _defined(value) for name, value in zip(STATISTICS, values.tolist(), strict=True)}


def _intervals(low: Floats, high: Floats) -> dict[str, list[float]]:
    ends = zip(STATISTICS, low.tolist(), high.tolist(), strict=True)
    return {name: [a, b] for name, a, b in ends if np.isfinite([a, b]).all()}


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
