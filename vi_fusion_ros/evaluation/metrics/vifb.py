"""The thirteen metrics of VIFB, as its code computes them: for figures beside the published ones, and for nothing else.

Zhang, Ye, Xiao, "VIFB: A Visible and Infrared Image Fusion Benchmark", CVPR Workshops 2020; the protocol of Zhang and
Demiris, "Visible and Infrared Image Fusion Using Deep Learning", IEEE TPAMI 45(8), 2023. Images are RGB, the thermal
one in all three channels; a value is the mean of those of the channels, but that of SF. Several have the name of a
metric of ``METRICS`` and another definition: mutual information is of stretched images, RMSE and PSNR are of a root
divided by the number of pixels, SSIM is of Gaussian windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float64]
Rgb = npt.NDArray[np.uint8]

_ACROSS = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
_BLOCK = 16
_EDGE_POWER = 5


@dataclass(frozen=True)
class VifbMetric:
    """One metric.

    Attributes:
        key: its name in the benchmark's files.
        higher: whether more is better.
    """

    key: str
    higher: bool


VIFB = {
    "AG": VifbMetric("Avg_gradient", True),
    "CE": VifbMetric("Cross_entropy", False),
    "EI": VifbMetric("Edge_intensity", True),
    "EN": VifbMetric("Entropy", True),
    "MI": VifbMetric("Mutinf", True),
    "PSNR": VifbMetric("Psnr", True),
    "Qabf": VifbMetric("Qabf", True),
    "Qcb": VifbMetric("Qcb", True),
    "Qcv": VifbMetric("Qcv", False),
    "RMSE": VifbMetric("Rmse", False),
    "SF": VifbMetric("Spatial_frequency", True),
    "SSIM": VifbMetric("Ssim", True),
    "SD": VifbMetric("Variance", True),
}


class _Channel:
    """One channel, and what several metrics need of it."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self.image: Plane = image.astype(np.float64)

    @cached_property
    def levels(self) -> npt.NDArray[np.int64]:
        """Stretched to 0 to 255, halves up."""
        low, high = self.image.min(), self.image.max()
        return np.floor((self.image - low) / ((high - low) or 1.0) * 255 + 0.5).astype(np.int64)

    @cached_property
    def shares(self) -> Plane:
        """(256,) shares of the grey levels."""
        return np.bincount(self.image.astype(np.int64).ravel(), minlength=256) / self.image.size

    @cached_property
    def edges(self) -> tuple[Plane, Plane]:
        """Strength and direction by Sobel, zero outside."""
        across, down = _sobel(self.image, cv2.BORDER_CONSTANT)
        with np.errstate(divide="ignore", invalid="ignore"):
            angle = np.where(across == 0, np.pi / 2, np.arctan(-down / across))
        return np.hypot(across, down), angle

    @cached_property
    def edge_powers(self) -> Plane:
        """Of each block of 16×16 of the stretched image: sum of the fifth powers of its edge strengths."""
        return _blocks(np.hypot(*_sobel(self.levels.astype(np.float64), cv2.BORDER_CONSTANT)) ** _EDGE_POWER).sum(
            (2, 3)
        )

    @cached_property
    def seen_contrast(self) -> Plane:
        """Local contrast after the eye's sensitivity, masked (Chen and Blum)."""
        seen = _seen(self.levels, 30, lambda r: np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2)))
        fine, coarse = (_gauss_31(seen, sigma) for sigma in (2, 4))
        contrast = np.abs(np.divide(fine, coarse, out=np.ones_like(fine), where=coarse != 0) - 1)
        return np.asarray(contrast**3 / (contrast**2 + 1e-4))


def vifb_metrics(fused: Rgb, visible: Rgb, thermal: Rgb) -> dict[str, float]:
    """All metrics of one fused image, by the names of ``VIFB``.

    Args:
        fused: (H, W, 3) RGB or (H, W) grey, uint8.
        visible: the same, of the same size.
        thermal: the same.

    Raises:
        ValueError: the sizes differ; one sentence.
    """
    images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, 2) for image in (fused, visible, thermal)]
    if len({image.shape for image in images}) > 1:
        sizes = ", ".join(f"{image.shape[1]}×{image.shape[0]}" for image in images)
        raise ValueError(f"fused, visible and thermal images of {sizes}; expected one size")
    planes = [tuple(_Channel(image[..., c]) for image in images) for c in range(3)]
    values = {name: float(np.mean([metric(*plane) for plane in planes])) for name, metric in _BY_CHANNEL.items()}
    values["SF"] = _spatial_frequency(np.concatenate([images[0][..., c] for c in range(3)], axis=1).astype(np.float64))
    return {name: values[name] for name in VIFB}


def _average_gradient(f: _Channel, _a: _Channel, _b: _Channel) -> float:
    down, across = np.gradient(f.image)
    height, width = f.image.shape
    return float(np.sqrt((across**2 + down**2) / 2).sum() / ((height - 1) * (width - 1)))


def _cross_entropy(f: _Channel, a: _Channel, b: _Channel) -> float:
    total = 0.0
    for source in (a, b):
        both = (source.shares > 0) & (f.shares > 0)
        total += float((source.shares[both] * np.log2(source.shares[both] / f.shares[both])).sum())
    return total / 2


def _edge_intensity(f: _Channel, _a: _Channel, _b: _Channel) -> float:
    return float(np.hypot(*_sobel(f.image, cv2.BORDER_REPLICATE)).mean())


def _entropy(f: _Channel, _a: _Channel, _b: _Channel) -> float:
    there = f.shares[f.shares > 0]
    return float(-(there * np.log2(there)).sum())


def _mutual_information(f: _Channel, a: _Channel, b: _Channel) -> float:
    total = 0.0
    for source in (a, b):
        joint = np.bincount((256 * source.levels + f.levels).ravel(), minlength=256 * 256).reshape(256, 256)
        shares = joint / joint.sum()
        expected = np.outer(shares.sum(1), shares.sum(0))
        there = shares > 0
        total += float((shares[there] * np.log(shares[there] / expected[there])).sum())
    return total


def _rmse(f: _Channel, a: _Channel, b: _Channel) -> float:
    return float(np.mean([np.sqrt(((s.image - f.image) ** 2).sum()) / f.image.size for s in (a, b)]))


def _psnr(f: _Channel, a: _Channel, b: _Channel) -> float:
    error = _rmse(f, a, b)
    return float(20 * np.log10(255 / np.sqrt(error))) if error else float("inf")


def _edge_transfer(f: _Channel, a: _Channel, b: _Channel) -> float:
    gained, weight = 0.0, 0.0
    for source in (a, b):
        strength, angle = source.edges
        low, high = np.minimum(strength, f.edges[0]), np.maximum(strength, f.edges[0])
        kept = np.where(low == high, f.edges[0], low / np.where(high > 0, high, 1))
        aligned = 1 - np.abs(angle - f.edges[1]) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (kept - 0.5))) * 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))
        gained += float((quality * strength).sum())
        weight += float(strength.sum())
    return gained / weight if weight else 0.0


def _chen_blum(f: _Channel, a: _Channel, b: _Channel) -> float:
    power_a, power_b = a.seen_contrast**2, b.seen_contrast**2
    total = power_a + power_b
    share = np.divide(power_a, total, out=np.full_like(total, 0.5), where=total > 0)
    return float((share * _agreement(a, f) + (1 - share) * _agreement(b, f)).mean())


def _agreement(source: _Channel, f: _Channel) -> Plane:
    high = np.maximum(source.seen_contrast, f.seen_contrast)
    return np.asarray(np.minimum(source.seen_contrast, f.seen_contrast) / np.where(high > 0, high, 1))


def _chen_varshney(f: _Channel, a: _Channel, b: _Channel) -> float:
    lost, weight = 0.0, 0.0
    for source in (a, b):
        difference = _seen(
            source.levels - f.levels, 8, lambda r: 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))
        )
        lost += float((source.edge_powers * _blocks(difference**2).mean((2, 3)).real).sum())
        weight += float(source.edge_powers.sum())
    return lost / weight if weight else 0.0


def _structural_similarity(f: _Channel, a: _Channel, b: _Channel) -> float:
    axis = np.arange(-5.0, 6)
    taps = np.exp(-(axis**2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(x: Plane) -> Plane:
        return np.asarray(cv2.sepFilter2D(x, -1, taps, taps)[5:-5, 5:-5])

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total = 0.0
    for source in (a, b):
        x, y = source.image, f.image
        mean_x, mean_y = mean(x), mean(y)
        var_x, var_y, cov = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2, mean(x * y) - mean_x * mean_y
        top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
        total += float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
    return total


def _deviation(f: _Channel, _a: _Channel, _b: _Channel) -> float:
    return float(f.image.std())


def _spatial_frequency(image: Plane) -> float:
    rows, columns = ((np.diff(image, axis=axis) ** 2).sum() for axis in (0, 1))
    return float(np.sqrt((rows + columns) / image.size))


def _sobel(image: Plane, border: int) -> tuple[Plane, Plane]:
    across, down = (cv2.filter2D(image, -1, kernel, borderType=border) for kernel in (_ACROSS, _ACROSS.T))
    return np.asarray(across), np.asarray(down)


def _seen(
    image: npt.NDArray[np.int64], degrees: int, sensitivity: Callable[[Plane], Plane]
) -> npt.NDArray[np.complex128]:
    """The image after a filter of the eye, by frequency; complex, for the grid has no partner of its first row."""
    height, width = image.shape
    v, u = (_frequencies(side) * side / degrees for side in (height, width))
    radius = np.hypot(u[None, :], v[:, None])
    spectrum = np.fft.fftshift(np.fft.fft2(image)) * sensitivity(radius)
    return np.asarray(np.fft.ifft2(np.fft.ifftshift(spectrum)))


def _frequencies(side: int) -> Plane:
    """From -1 to 1, as MATLAB's ``freqspace`` gives them."""
    return np.arange(-side + side % 2, side - 1 + side % 2, 2) / side


def _gauss_31(image: npt.NDArray[np.complex128], sigma: float) -> npt.NDArray[np.complex128]:
    axis = np.arange(-15.0, 16)
    taps = np.exp(-(axis**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
    real, imaginary = (
        cv2.sepFilter2D(np.ascontiguousarray(part), -1, taps, taps, borderType=cv2.BORDER_CONSTANT)
        for part in (image.real, image.imag)
    )
    return np.asarray(real + 1j * imaginary)


def _blocks(values: npt.NDArray[np.inexact]) -> npt.NDArray[np.inexact]:
    """(rows, columns, 16, 16); zeros beyond the end."""
    height, width = (-(-side // _BLOCK) for side in values.shape)
    padded = np.zeros((height * _BLOCK, width * _BLOCK), values.dtype)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(height, _BLOCK, width, _BLOCK).transpose(0, 2, 1, 3)


_BY_CHANNEL: dict[str, Callable[[_Channel, _Channel, _Channel], float]] = {
    "AG": _average_gradient,
    "CE": _cross_entropy,
    "EI": _edge_intensity,
    "EN": _entropy,
    "MI": _mutual_information,
    "PSNR": _psnr,
    "Qabf": _edge_transfer,
    "Qcb": _chen_blum,
    "Qcv": _chen_varshney,
    "RMSE": _rmse,
    "SSIM": _structural_similarity,
    "SD": _deviation,
}
