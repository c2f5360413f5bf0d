"""Figures of classification: F1, AUC, calibration. Plain NumPy, so that reports need no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def macro_f1(predicted: Ints, truth: Ints, classes: int) -> float:
    """Mean F1 over the classes that occur in ``truth``; (N,) class indices each; 0 to 1."""
    scores = []
    for k in range(classes):
        if not np.any(truth == k):
            continue
        hit = float(np.sum((predicted == k) & (truth == k)))
        scores.append(2 * hit / (np.sum(predicted == k) + np.sum(truth == k)))
    return float(np.mean(scores))
