"""From a model's raw scores to probabilities, and the probability from which a label counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Of C labels: probability = sigmoid((score - bias) / temperature).

    Attributes:
        temperature: (C,) above 0.
        bias: (C,) score at which the probability is 0.5.
        thresholds: (C,) probability from which a label counts, 0 to 1.
    """

    temperature: Floats
    bias: Floats
    thresholds: Floats

    def of(self, label: npt.NDArray[np.intp]) -> Calibration:
        """Of the labels at these indices, (N,), one for each of N scores."""
        return Calibration(self.temperature[label], self.bias[label], self.thresholds[label])

    def log_odds(self, scores: npt.NDArray[np.floating]) -> Floats:
        """Raw scores, (..., C), to the logarithms of their odds, (..., C) float64."""
        return (scores.astype(np.float64) - self.bias) / self.temperature

    def probabilities(self, scores: npt.NDArray[np.floating]) -> Floats:
        """Raw scores, (..., C), to probabilities, (..., C) float64."""
        return sigmoid(self.log_odds(scores))


def sigmoid(values: npt.NDArray[np.floating]) -> Floats:
    """1 / (1 + exp(-values)), without its overflow."""
    return np.asarray((1 + np.tanh(np.asarray(values, np.float64) / 2)) / 2)
