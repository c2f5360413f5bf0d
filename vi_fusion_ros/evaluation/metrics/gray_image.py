"""A grey image with what several metrics need of it alone, each made once, when first asked for.

Metrics of several fused images on the same sources share what is the sources': most of the work.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.float64]

VIF_SCALES = 4
VIF_NOISE_VARIANCE = 2.0
VIF_MIN_SIZE = 41  # shorter sides leave no window at the coarsest scale
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_WINDOW = 11


class Edges(NamedTuple):
    """Gradients by Sobel, zero padded, (H, W) each.

    Attributes:
        strength: 0 upward.
        direction: radians, (-pi/2, pi/2], y upward, pi/2 where the gradient is vertical or none.
    """

    strength: Gray
    direction: Gray


class Window(NamedTuple):
    """An image under a sliding separable window; moments wherever the window fits in.

    Attributes:
        image: (h, w).
        kernel: (k, 1), with the sum 1.
        mean: (h - k + 1, w - k + 1).
        variance: of the population, the same shape, 0 upward.
    """

    image: Gray
    kernel: Gray
    mean: Gray
    variance: Gray


class GrayImage:
    """One image.

    Args:
        image: (H, W) float64, 0 to 255.
    """

    def __init__(self, image: Gray) -> None:
        self.image = image

    @cached_property
    def levels(self) -> npt.NDArray[np.int64]:
        """(H * W,) grey levels, 0 to 255."""
        return self.image.astype(np.int64).ravel()

    @cached_property
    def information(self) -> float:
        """Entropy of the 256-bin histogram, nats."""
        return entropy(np.bincount(self.levels, minlength=256))

    @cached_property
    def edges(self) -> Edges:
        """Gradients."""
        gx = cv2.Sobel(self.image, cv2.CV_64F, 1, 0, ksize=3, borderType=cv2.BORDER_CONSTANT)
        gy = cv2.Sobel(self.image, cv2.CV_64F, 0, 1, ksize=3, scale=-1, borderType=cv2.BORDER_CONSTANT)
        slope: Gray = np.full(gx.shape, np.inf)
        np.divide(gy, gx, out=slope, where=gx != 0)
        return Edges(np.asarray(cv2.magnitude(gx, gy)), np.arctan(slope, out=slope))

    @cached_property
    def boxes(self) -> Window:
        """Under a 7 x 7 uniform window."""
        return _window(self.image, np.full((7, 1), 1 / 7))

    @cached_property
    def vif_scales(self) -> list[Window]:
        """Four scales under Gaussian windows of 17, 9, 5 and 3 pixels; each halves the one before."""
        scales: list[Window] = []
        image = self.image
        for scale in range(VIF_SCALES):
            size = 2 ** (VIF_SCALES - scale) + 1
            kernel = _gaussian(size, size / 5.0)
            if scale:
                image = np.ascontiguousarray(filter_valid(image, kernel)[::2, ::2])
            scales.append(_window(image, kernel))
        return scales

    @cached_property
    def vif_information(self) -> float:
        """What VIF's observer sees of the image itself, nats times 2, summed over the scales."""
        return sum(float(np.sum(cv2.log(1 + scale.variance / VIF_NOISE_VARIANCE))) for scale in self.vif_scales)

    @cached_property
    def ms_ssim_scales(self) -> list[Window]:
        """Up to five scales under an 11 x 11 Gaussian window, as many as it fits in; means of 2 x 2 between them."""
        count = min(len(MS_SSIM_WEIGHTS), int(np.log2(min(self.image.shape) / MS_SSIM_WINDOW)) + 1)
        kernel = _gaussian(MS_SSIM_WINDOW, 1.5)
        images = [self.image]
        while len(images) < count:
            images.append(_halve(images[-1]))
        return [_window(image, kernel) for image in images]


def entropy(counts: npt.NDArray[np.int64]) -> float:
    """Entropy of a histogram, nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)))


def covariance(x: Window, y: Window) -> Gray:
    """Windowed population covariance of two images of one size under the same window, shaped as their means."""
    if x is y:
        return x.variance.copy()
    product = filter_valid(x.image * y.image, x.kernel)
    product -= x.mean * y.mean
    return product


def filter_valid(image: Gray, kernel: Gray) -> Gray:
    """Correlate with a separable (k, 1) window wherever it fits in: (h, w) to (h - k + 1, w - k + 1)."""
    margin = len(kernel) // 2
    filtered = np.asarray(cv2.sepFilter2D(image, cv2.CV_64F, kernel, kernel), np.float64)
    height, width = image.shape
    # A copy: what follows takes half the time on memory without gaps (OpenCV's logarithm a tenth).
    return np.ascontiguousarray(filtered[margin : height - margin, margin : width - margin])


def _window(image: Gray, kernel: Gray) -> Window:
    mean = filter_valid(image, kernel)
    variance = filter_valid(image * image, kernel)
    variance -= mean * mean
    np.maximum(variance, 0, out=variance)  # rounding may leave it a little below
    return Window(image, kernel, mean, variance)


def _gaussian(size: int, sigma: float) -> Gray:
    """(size, 1) window with the sum 1."""
    return np.asarray(cv2.getGaussianKernel(size, sigma, cv2.CV_64F), np.float64)


def _halve(image: Gray) -> Gray:
    """Mean of each 2 x 2 block; an odd last row or column is left out."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
