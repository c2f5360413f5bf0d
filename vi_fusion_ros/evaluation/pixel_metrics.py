"""Fusion metrics made of pixel statistics: entropy, contrast, gradients, mutual information, correlation.

Every function takes (H, W) float64 grey images with values 0 to 255 and returns a number; ``fused`` is the fused
image, ``a`` and ``b`` its two sources. The order of the sources does not matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float64]


def entropy(fused: Gray) -> float:
    """EN: entropy of the 256-bin histogram, bits, 0 to 8."""
    return _entropy(np.bincount(_levels(fused), minlength=256)) / float(np.log(2))


def standard_deviation(fused: Gray) -> float:
    """SD: population standard deviation, grey levels, 0 to 127.5."""
    return float(fused.std())


def spatial_frequency(fused: Gray) -> float:
    """SF: root of the mean squared horizontal plus the mean squared vertical first difference, 0 to 360.7."""
    rows, columns = np.diff(fused, axis=0), np.diff(fused, axis=1)
    return float(np.sqrt(np.mean(rows**2) + np.mean(columns**2)))


def average_gradient(fused: Gray) -> float:
    """AG: mean of sqrt((gx² + gy²) / 2), central differences inside and one-sided ones on the border, 0 to 255."""
    gy, gx = np.gradient(fused)
    return float(np.mean(np.sqrt((gx**2 + gy**2) / 2)))


def mutual_information(fused: Gray, a: Gray, b: Gray) -> float:
    """MI: I(F; A) + I(F; B) from 256 x 256 joint histograms, nats, 0 to 2 ln 256."""
    levels = _levels(fused)
    return _shared_information(levels, _levels(a)) + _shared_information(levels, _levels(b))


def sum_of_correlations_of_differences(fused: Gray, a: Gray, b: Gray) -> float:
    """SCD: corr(A, F - B) + corr(B, F - A), -2 to 2; the correlation with a constant image counts as 0."""
    return correlation(a, fused - b) + correlation(b, fused - a)


def correlation_coefficient(fused: Gray, a: Gray, b: Gray) -> float:
    """CC: mean of corr(F, A) and corr(F, B), -1 to 1; the correlation with a constant image counts as 0."""
    return (correlation(fused, a) + correlation(fused, b)) / 2


def peak_signal_to_noise(fused: Gray, a: Gray, b: Gray) -> float:
    """PSNR: 10 log10(255² / mean of the two sources' mean squared errors), dB; infinite if all three are equal."""
    error = (np.mean((fused - a) ** 2) + np.mean((fused - b) ** 2)) / 2
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def correlation(x: Gray, y: Gray) -> float:
    """Pearson's correlation of two images, -1 to 1; 0 where one of them is constant."""
    dx, dy = x - x.mean(), y - y.mean()
    scale = np.sqrt(np.sum(dx**2) * np.sum(dy**2))
    return float(np.sum(dx * dy) / scale) if scale > 0 else 0.0


def _levels(image: Gray) -> npt.NDArray[np.int64]:
    return image.astype(np.int64).ravel()


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)))


def _shared_information(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> float:
    joint = np.bincount(256 * x + y, minlength=256 * 256).reshape(256, 256)
    return _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.ravel())
