"""What a visible and a thermal image of one scene share: where edges are and how they run, not which side is bright.

The gradient's angle doubled (orientation correlation, Fitch et al. 2002, and the idea of CFOG, Ye et al. 2019) makes a
step up and a step down the same; its length relative to the neighbourhood's makes faint and strong edges comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

Structure = npt.NDArray[np.complex64]

_SMOOTHING_PX = 1.0
_NEIGHBOURHOOD_PX = 8.0
_NOISE = 0.5  # grey levels a pixel: gradients far below it count little
_MOST = 2.0  # no single edge outvotes its neighbourhood
_AT_ONCE = 8  # patches: some milliseconds
_AXES = (1, 2)


def grey8(image: Image) -> npt.NDArray[np.float32]:
    """Any image as (H, W) float32 with a span of about 255: luma of BGR, 16-bit and float by their 1-99 % range."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.shape[2] == 3 else image[..., 0]
    if image.dtype == np.uint8:
        return image.astype(np.float32)
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    scaled = (np.nan_to_num(image.astype(np.float32), nan=float(low)) - low) * (255 / max(float(high - low), 1e-6))
    return np.clip(scaled, 0, 255).astype(np.float32)


def structure(grey: npt.NDArray[np.float32], smoothing_px: float = _SMOOTHING_PX) -> Structure:
    """Doubled gradient orientation, weighted by relative gradient length.

    Args:
        grey: (H, W) float32, 0 to 255.
        smoothing_px: of the image before its gradient is taken; less is sharper and noisier.

    Returns:
        (H, W) complex64, length 0 to 2; the same for an image and its negative.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), smoothing_px)
    gx = cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32
    gy = cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32
    square = gx * gx + gy * gy
    around = np.sqrt(cv2.GaussianBlur(square, (0, 0), _NEIGHBOURHOOD_PX))
    length = np.minimum(np.sqrt(square) / (around + _NOISE), _MOST)
    doubled = (gx * gx - gy * gy) + 1j * (2 * gx * gy)
    return np.asarray(length * doubled / (square + 1e-6), np.complex64)


def agreement(one: Structure, other: Structure, mask: npt.NDArray[np.bool_]) -> float:
    """Correlation of two structures inside ``mask`` (H, W), -1 to 1; about 0 for images that share nothing."""
    a, b = one[mask], other[mask]
    energy = float(np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real))
    return float(np.vdot(a, b).real) / energy if energy > 1e-9 else 0.0


def surfaces(
    fixed: Structure,
    moved: Structure,
    cover: npt.NDArray[np.float32],
    centres: npt.NDArray[np.int64],
    half: int,
    reach: int,
    pause: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.float64]:
    """How well patches of one structure fit another one at each displacement.

    Args:
        fixed: (H, W) complex, searched.
        moved: (H, W) complex, 0 where it has no data; the patches are cut from it.
        cover: (H, W) float32, 1 where ``moved`` has data.
        centres: (n, 2) (row, column) of the patches, at least ``half + reach`` from the border.
        half: half the side of a patch, pixels.
        reach: furthest displacement, pixels.
        pause: called every few patches.

    Returns:
        (n, 2 reach + 1, 2 reach + 1) normalised correlation, -1 to 1, by displacement (y, x) from -reach to reach.
    """
    side, full = 2 * half, 2 * (half + reach)

    def cut(image: npt.NDArray[np.generic], around: int, some: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        return np.stack([image[y - around : y + around, x - around : x + around] for y, x in some])

    shape = (full, full)
    parts = []
    for start in range(0, len(centres), _AT_ONCE):
        some = centres[start : start + _AT_ONCE]
        patch, window, present = cut(moved, half, some), cut(fixed, half + reach, some), cut(cover, half, some)
        # Of real parts and of imaginary parts: transforms of real numbers take a fraction of the time of complex ones.
        spectrum = _cross_spectrum(patch.real, window.real, shape) + _cross_spectrum(patch.imag, window.imag, shape)
        inside = _cross_spectrum(present, np.abs(window) ** 2, shape)
        own = (np.abs(patch) ** 2).sum((1, 2)).reshape(-1, 1, 1)
        parts.append((np.fft.irfft2(spectrum, shape, _AXES), np.fft.irfft2(inside, shape, _AXES), own))
        pause()
    cross, energy, own = (np.concatenate(part) for part in zip(*parts, strict=True))
    reachable = full - side + 1
    scale = np.sqrt(np.maximum(own * np.maximum(energy, 1e-3 * energy.max()), 1e-9))
    return np.asarray((cross / scale)[:, :reachable, :reachable])


def _cross_spectrum(
    patch: npt.NDArray[Any], window: npt.NDArray[Any], shape: tuple[int, int]
) -> npt.NDArray[np.complexfloating]:
    """Of the correlation of real patches (n, h, w) with windows (n, H, W), with zeros up to ``shape``."""
    return np.asarray(np.conj(np.fft.rfft2(patch, shape, _AXES)) * np.fft.rfft2(window, shape, _AXES))
