"""Fusion metrics made of local structure: visual information fidelity, edge transfer, structural similarity.

Every function takes (H, W) float64 grey images with values 0 to 255 and returns a number; ``fused`` is the fused
image, ``a`` and ``b`` its two sources. The order of the sources does not matter.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float64]

VIF_SCALES = 4
VIF_NOISE_VARIANCE = 2.0
VIF_MIN_SIZE = 41  # shorter sides leave no window at the coarsest scale
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_WINDOW = 11
_EPS = 1e-10


def visual_information_fidelity(fused: Gray, a: Gray, b: Gray) -> float:
    """VIF: pixel-domain visual information fidelity of the fused image against A plus against B, 0 upward."""
    return _vifp(a, fused) + _vifp(b, fused)


def edge_transfer(fused: Gray, a: Gray, b: Gray) -> float:
    """Qabf: how much of the sources' gradient strength and direction the fused image keeps, 0 to 1.

    Without any edge in the sources nothing can be lost or kept; the value is then 0.
    """
    fused_edges, edges_a, edges_b = _edges(fused), _edges(a), _edges(b)
    weight = float(np.sum(edges_a[0]) + np.sum(edges_b[0]))
    if weight == 0:
        return 0.0
    kept = np.sum(_preservation(edges_a, fused_edges) * edges_a[0])
    kept += np.sum(_preservation(edges_b, fused_edges) * edges_b[0])
    return float(kept) / weight


def structural_similarity(fused: Gray, a: Gray, b: Gray, data_range: float) -> float:
    """SSIM(F, A) + SSIM(F, B): 7 x 7 uniform window, sample covariance, mean without a border of 3, -2 to 2."""
    return _ssim(fused, a, data_range) + _ssim(fused, b, data_range)


def multi_scale_structural_similarity(fused: Gray, a: Gray, b: Gray) -> float:
    """MS-SSIM(F, A) + MS-SSIM(F, B) with data_range 255, 0 to 2.

    Images whose short side is below 176 pixels use as many of the five scales as an 11 x 11 window fits in; the
    exponents of those are scaled to the same sum.
    """
    return _ms_ssim(fused, a) + _ms_ssim(fused, b)


def _vifp(reference: Gray, distorted: Gray) -> float:
    kept = total = 0.0
    for scale in range(VIF_SCALES):
        size = 2 ** (VIF_SCALES - scale) + 1
        kernel = _gaussian(size, size / 5.0)
        if scale:
            reference = _filter_valid(reference, kernel)[::2, ::2]
            distorted = _filter_valid(distorted, kernel)[::2, ::2]
        _, _, variance_r, variance_d, covariance = _moments(reference, distorted, kernel)
        np.maximum(variance_r, 0, out=variance_r)
        np.maximum(variance_d, 0, out=variance_d)
        gain = covariance / (variance_r + _EPS)
        noise = variance_d - gain * covariance

        flat = variance_r < _EPS
        gain[flat] = 0
        noise[flat] = variance_d[flat]
        variance_r[flat] = 0
        flat = variance_d < _EPS
        gain[flat] = 0
        noise[flat] = 0
        opposed = gain < 0
        noise[opposed] = variance_d[opposed]
        gain[opposed] = 0
        np.maximum(noise, _EPS, out=noise)

        kept += float(np.sum(np.log1p(gain**2 * variance_r / (noise + VIF_NOISE_VARIANCE))))
        total += float(np.sum(np.log1p(variance_r / VIF_NOISE_VARIANCE)))
    return kept / total if total > 0 else 1.0  # a flat reference has no information to lose


def _edges(image: Gray) -> tuple[Gray, Gray]:
    """Strength, and direction in radians, (-pi/2, pi/2], y upward, pi/2 where the gradient is vertical or none."""
    gx = cv2.Sobel(image, cv2.CV_64F, 1, 0, ksize=3, borderType=cv2.BORDER_CONSTANT)
    gy = cv2.Sobel(image, cv2.CV_64F, 0, 1, ksize=3, scale=-1, borderType=cv2.BORDER_CONSTANT)
    angle: Gray = np.full(image.shape, np.pi / 2)
    np.divide(gy, gx, out=angle, where=gx != 0)
    np.arctan(angle, out=angle, where=gx != 0)
    strength: Gray = np.hypot(gx, gy)
    return strength, angle


def _preservation(source: tuple[Gray, Gray], fused: tuple[Gray, Gray]) -> Gray:
    low, high = np.minimum(source[0], fused[0]), np.maximum(source[0], fused[0])
    strength = high.copy()  # equal strengths count as their value, as in the reference code; a ratio otherwise
    np.divide(low, high, out=strength, where=low != high)
    direction = 1 - np.abs(source[1] - fused[1]) / (np.pi / 2)
    return _sigmoid(strength, 0.9994, -15, 0.5) * _sigmoid(direction, 0.9879, -22, 0.8)


def _sigmoid(x: Gray, gamma: float, kappa: float, sigma: float) -> Gray:
    return gamma / (1 + np.exp(kappa * (x - sigma)))


def _ssim(x: Gray, y: Gray, data_range: float) -> float:
    window = np.full((7, 1), 1 / 7)
    mean_x, mean_y, variance_x, variance_y, covariance = _moments(x, y, window)
    unbiased = 49 / 48
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * unbiased * covariance + c2) / (unbiased * (variance_x + variance_y) + c2)
    return float(np.mean(luminance * structure))


def _ms_ssim(x: Gray, y: Gray) -> float:
    scales = min(len(MS_SSIM_WEIGHTS), int(np.log2(min(x.shape) / MS_SSIM_WINDOW)) + 1)
    weights = np.array(MS_SSIM_WEIGHTS[:scales]) / sum(MS_SSIM_WEIGHTS[:scales])
    kernel = _gaussian(MS_SSIM_WINDOW, 1.5)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = 1.0
    for scale, weight in enumerate(weights):
        mean_x, mean_y, variance_x, variance_y, covariance = _moments(x, y, kernel)
        similarity = (2 * covariance + c2) / (variance_x + variance_y + c2)
        if scale == scales - 1:
            similarity *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        value *= max(float(np.mean(similarity)), 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return value


def _halve(image: Gray) -> Gray:
    """Mean of each 2 x 2 block; an odd last row or column is left out."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _moments(x: Gray, y: Gray, kernel: Gray) -> tuple[Gray, Gray, Gray, Gray, Gray]:
    """Windowed means, population variances and covariance, wherever the separable window fits in."""
    mean_x, mean_y = _filter_valid(x, kernel), _filter_valid(y, kernel)
    variance_x = _filter_valid(x * x, kernel) - mean_x * mean_x
    variance_y = _filter_valid(y * y, kernel) - mean_y * mean_y
    return mean_x, mean_y, variance_x, variance_y, _filter_valid(x * y, kernel) - mean_x * mean_y


def _gaussian(size: int, sigma: float) -> Gray:
    """(size, 1) window with the sum 1."""
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_64F), np.float64)


def _filter_valid(image: Gray, kernel: Gray) -> Gray:
    margin = len(kernel) // 2
    filtered = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel), np.float64)
    height, width = image.shape
    return filtered[margin : height - margin, margin : width - margin]
