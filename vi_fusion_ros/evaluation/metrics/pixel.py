"""Fusion metrics made of pixel statistics: entropy, contrast, gradients, mutual information, correlation.

``fused`` is the fused image, ``a`` and ``b`` are its two sources, all of one size. The sources' order does not matter.
"""

from __future__ import annotations

import numpy as np

from vi_fusion_ros.evaluation.metrics.gray_image import Gray, GrayImage, entropy


def entropy_bits(fused: GrayImage) -> float:
    """EN: entropy of the 256-bin histogram, bits, 0 to 8."""
    return fused.information / float(np.log(2))


def standard_deviation(fused: GrayImage) -> float:
    """SD: population standard deviation, grey levels, 0 to 127.5."""
    return float(fused.image.std())


def spatial_frequency(fused: GrayImage) -> float:
    """SF: root of the mean squared horizontal plus the mean squared vertical first difference, 0 to 360.7."""
    rows, columns = np.diff(fused.image, axis=0), np.diff(fused.image, axis=1)
    return float(np.sqrt(np.mean(rows**2) + np.mean(columns**2)))


def average_gradient(fused: GrayImage) -> float:
    """AG: mean of sqrt((gx² + gy²) / 2), central differences inside and one-sided ones on the border, 0 to 255."""
    gy, gx = np.gradient(fused.image)
    return float(np.mean(np.sqrt((gx**2 + gy**2) / 2)))


def mutual_information(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """MI: I(F; A) + I(F; B) from 256 x 256 joint histograms, nats, 0 to 2 ln 256."""
    return _shared_information(fused, a) + _shared_information(fused, b)


def sum_of_correlations_of_differences(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """SCD: corr(A, F - B) + corr(B, F - A), -2 to 2; the correlation with a constant image counts as 0."""
    f = fused.image
    return correlation(a.image, f - b.image) + correlation(b.image, f - a.image)


def correlation_coefficient(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """CC: mean of corr(F, A) and corr(F, B), -1 to 1; the correlation with a constant image counts as 0."""
    return (correlation(fused.image, a.image) + correlation(fused.image, b.image)) / 2


def peak_signal_to_noise(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """PSNR: 10 log10(255² / mean of the two sources' mean squared errors), dB; infinite if all three are equal."""
    error = (np.mean((fused.image - a.image) ** 2) + np.mean((fused.image - b.image) ** 2)) / 2
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def correlation(x: Gray, y: Gray) -> float:
    """Pearson's correlation of two images, -1 to 1; 0 where one of them is constant."""
    dx, dy = x - x.mean(), y - y.mean()
    # Not np.vdot: BLAS would start threads, which get in the way of the other processes.
    scale = np.sqrt(np.sum(dx**2) * np.sum(dy**2))
    return float(np.sum(dx * dy) / scale) if scale > 0 else 0.0


def _shared_information(x: GrayImage, y: GrayImage) -> float:
    joint = np.bincount(256 * x.levels + y.levels, minlength=256 * 256)
    return x.information + y.information - entropy(joint)
