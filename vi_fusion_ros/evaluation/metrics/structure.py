"""Fusion metrics made of local structure: visual information fidelity, edge transfer, structural similarity.

``fused`` is the fused image, ``a`` and ``b`` are its two sources, all of one size. The sources' order does not matter,
but in ``one_sided_structure``.
"""

from __future__ import annotations

import cv2
import numpy as np

from vi_fusion_ros.evaluation.metrics.gray_image import (
    MS_SSIM_WEIGHTS,
    VIF_NOISE_VARIANCE,
    Edges,
    Gray,
    GrayImage,
    Window,
    covariance,
)

_EPS = 1e-10

ONE_SIDED = (10.0, 5.0)
"""Standard deviations, grey levels, above which a window has structure and below which it has next to none."""


def visual_information_fidelity(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """VIF: pixel-domain visual information fidelity of the fused image against A plus against B, 0 upward."""
    return _vifp(a, fused) + _vifp(b, fused)


def edge_transfer(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """Qabf: how much of the sources' gradient strength and direction the fused image keeps, 0 to 1.

    Without any edge in the sources nothing can be lost or kept; the value is then 0.
    """
    weight = float(np.sum(a.edges.strength) + np.sum(b.edges.strength))
    if weight == 0:
        return 0.0
    return sum(float(np.sum(_preservation(s.edges, fused.edges) * s.edges.strength)) for s in (a, b)) / weight


def structural_similarity(fused: GrayImage, a: GrayImage, b: GrayImage, data_range: float) -> float:
    """SSIM(F, A) + SSIM(F, B): 7 x 7 uniform window, sample covariance, mean without a border of 3, -2 to 2."""
    return _ssim(fused, a, data_range) + _ssim(fused, b, data_range)


def multi_scale_structural_similarity(fused: GrayImage, a: GrayImage, b: GrayImage) -> float:
    """MS-SSIM(F, A) + MS-SSIM(F, B) with data_range 255, 0 to 2.

    Images whose short side is below 176 pixels use as many of the five scales as an 11 x 11 window fits in; the
    exponents of those are scaled to the same sum.
    """
    return _ms_ssim(fused, a) + _ms_ssim(fused, b)


def one_sided_structure(fused: GrayImage, source: GrayImage, other: GrayImage) -> float:
    """How much of the structure that only ``source`` has the fused image keeps, -1 to 1, 1 is all.

    The mean, over the 7 x 7 uniform windows in which ``source`` has structure and ``other`` next to none
    (``ONE_SIDED``), of SSIM's structure term (cov + c) / (sd_fused sd_source + c): 1 where the fused window is the
    source's one up to brightness and contrast, about 0 where it is not to be found, -1 where it is inverted. c is
    (0.03 * 2)² / 2, as of SSIM: with a data range of 255 it would call structure that has faded away kept. A fused
    window that is flat has lost the structure and counts 0. NaN without any such window.
    """
    enough, little = ONE_SIDED
    there = (source.boxes.variance > enough**2) & (other.boxes.variance < little**2)
    if not there.any():
        return float("nan")
    constant = (0.03 * 2) ** 2 / 2
    spread = fused.boxes.variance[there]
    term = covariance(fused.boxes, source.boxes)[there] + constant
    term /= np.sqrt(spread * source.boxes.variance[there]) + constant
    term[spread < _EPS] = 0
    return float(np.mean(term))


def _vifp(reference: GrayImage, distorted: GrayImage) -> float:
    total = reference.vif_information
    if total == 0:
        return 1.0  # a flat reference has no information to lose
    return sum(map(_kept_information, reference.vif_scales, distorted.vif_scales)) / total


def _kept_information(r: Window, d: Window) -> float:
    shared = covariance(r, d)
    gain = shared / (r.variance + _EPS)
    # Flat places carry no information, and opposed ones are all noise.
    gain *= (r.variance >= _EPS) & (d.variance >= _EPS) & (shared > 0)
    noise = d.variance - gain * shared
    np.maximum(noise, _EPS, out=noise)
    noise += VIF_NOISE_VARIANCE
    gain *= gain
    gain *= r.variance
    gain /= noise
    gain += 1
    return float(np.sum(cv2.log(gain)))


def _preservation(source: Edges, fused: Edges) -> Gray:
    low, high = np.minimum(source.strength, fused.strength), np.maximum(source.strength, fused.strength)
    # Equal strengths count as their value, as in the reference code; a ratio otherwise.
    np.divide(low, high, out=high, where=low != high)
    direction = np.abs(source.direction - fused.direction)
    direction *= -2 / np.pi
    direction += 1
    product = _one_plus_exp(high, -15, 0.5)
    product *= _one_plus_exp(direction, -22, 0.8)
    result: Gray = (0.9994 * 0.9879) / product
    return result


def _one_plus_exp(x: Gray, kappa: float, sigma: float) -> Gray:
    """1 + exp(kappa (x - sigma)), the denominator of a sigmoid; overwrites ``x``."""
    x -= sigma
    x *= kappa
    result = np.asarray(cv2.exp(x))
    result += 1
    return result


def _ssim(x: GrayImage, y: GrayImage, data_range: float) -> float:
    unbiased = 49 / 48
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = _structure(x.boxes, y.boxes, c2 / unbiased)
    similarity *= _luminance(x.boxes, y.boxes, c1)
    return float(np.mean(similarity))


def _ms_ssim(x: GrayImage, y: GrayImage) -> float:
    scales = list(zip(x.ms_ssim_scales, y.ms_ssim_scales, strict=True))
    weights = np.array(MS_SSIM_WEIGHTS[: len(scales)]) / sum(MS_SSIM_WEIGHTS[: len(scales)])
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = 1.0
    for scale, (of_x, of_y) in enumerate(scales, 1):
        similarity = _structure(of_x, of_y, c2)
        if scale == len(scales):
            similarity *= _luminance(of_x, of_y, c1)
        value *= max(float(np.mean(similarity)), 0.0) ** float(weights[scale - 1])
    return value


def _structure(x: Window, y: Window, constant: float) -> Gray:
    similarity = covariance(x, y)
    similarity *= 2
    similarity += constant
    spread = x.variance + y.variance
    spread += constant
    similarity /= spread
    return similarity


def _luminance(x: Window, y: Window, constant: float) -> Gray:
    level = x.mean * y.mean
    level *= 2
    level += constant
    squares = x.mean * x.mean
    squares += y.mean * y.mean
    squares += constant
    level /= squares
    return level
