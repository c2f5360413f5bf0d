"""A network that says which source is the clearer one, for two cameras and for two focal planes.

Liu, Chen, Peng, Wang, "Multi-focus image fusion with a deep convolutional neural network", Information Fusion 36, 2017;
Liu, Chen, Cheng, Peng, Wang, "Infrared and visible image fusion with convolutional neural networks", International
Journal of Wavelets, Multiresolution and Information Processing 16(3), 2018. For two cameras its map weights the levels
of Laplacian pyramids; where the two disagree, the one with more energy is taken. For two focal planes the map is made
a decision, which a guided filter fits to the edges; that part follows the paper alone, for no code of it is known.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, plane

_PATCH, _STEP = 16, 2  # pixels that one value of the map is of, and between two of them
_SMALLEST = 15  # pixels a side: less gives no map
_ALIKE = 0.6
_TAPS = np.array([1, 4, 6, 4, 1]) / 16
_SMALL_REGION = 0.01
_GUIDE_RADIUS, _GUIDE_EPS = 8, 0.1

Floats = npt.NDArray[np.float64]


def cnn(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse the images of two cameras.

    Raises:
        ValueError: the images have less than 15 pixels a side.
    """
    a, b = thermal / 255.0, visible / 255.0
    return to_bytes(_pyramids(a, b, weight_map(network, a, b)))


def focus(network: Network, first: Gray8, second: Gray8) -> Gray8:
    """Fuse two images that are sharp in different places.

    Raises:
        ValueError: as ``cnn``.
    """
    a, b = first / 255.0, second / 255.0
    decision = _without_small_regions(weight_map(network, a, b) > 0.5).astype(np.float64)
    decision = np.clip(_guided(decision, decision * a + (1 - decision) * b), 0, 1)
    return to_bytes(decision * a + (1 - decision) * b)


def weight_map(network: Callable[..., list[npt.NDArray[np.float32]]], a: Floats, b: Floats) -> Floats:
    """How much of ``a`` belongs into each pixel.

    Args:
        network: gives one value for each patch of 16×16 pixels, every two pixels.
        a: (H, W), 0 to 1.
        b: the same.

    Returns:
        (H, W), 0 to 1: the mean over the patches that a pixel is in.
    """
    height, width = a.shape
    if min(height, width) < _SMALLEST:
        raise ValueError(f"method cnn: the images are {width}×{height}; expected at least {_SMALLEST} pixels a side")
    share = network(plane(a), plane(b))[0][0, 0].astype(np.float64)
    total = _spread(_spread(share, height).T, width).T
    count = _spread(_spread(np.ones_like(share), height).T, width).T
    return np.asarray(total / count)


def _spread(values: Floats, length: int) -> Floats:
    """Each row added to the rows of its patch; ``length`` rows in all."""
    out = np.zeros((max(length, _STEP * (len(values) - 1) + _PATCH), values.shape[1]))
    for row in range(_PATCH):
        out[row : row + _STEP * len(values) : _STEP] += values
    return out[:length]


def _pyramids(a: Floats, b: Floats, weight: Floats) -> Floats:
    levels = int(np.log2(min(a.shape)))
    merged: list[Floats] = []
    for _ in range(levels - 1):
        smaller_a, smaller_b = _down(a), _down(b)
        merged.append(_merged(a - _up(smaller_a, a.shape), b - _up(smaller_b, b.shape), weight))
        a, b, weight = smaller_a, smaller_b, _down(weight)
    image = _merged(a, b, weight)
    for detail in reversed(merged):
        image = detail + _up(image, detail.shape)
    return image


def _merged(a: Floats, b: Floats, weight: Floats) -> Floats:
    """Weighted where both are alike, else the one with more energy around the pixel."""
    energy_a, energy_b = _near(a * a), _near(b * b)
    alike = 2 * _near(a * b) / (energy_a + energy_b + np.finfo(float).eps)
    stronger = np.where(energy_a > energy_b, a, b)
    return np.where(alike > _ALIKE, weight * a + (1 - weight) * b, stronger)


def _near(values: Floats) -> Floats:
    """Sums over 3×3; edges are mirrored, and beyond the corners there is nothing."""
    padded = np.pad(values, 1, "reflect")
    padded[np.ix_((0, -1), (0, -1))] = 0
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def _down(image: Floats) -> Floats:
    filtered = cv2.sepFilter2D(image, -1, _TAPS, _TAPS, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(filtered[::2, ::2])


def _up(image: Floats, shape: tuple[int, ...]) -> Floats:
    padded = np.pad(image, 1, "edge")
    wide = np.zeros((2 * padded.shape[0], 2 * padded.shape[1]))
    wide[::2, ::2] = 4 * padded
    filtered = cv2.sepFilter2D(wide, -1, _TAPS, _TAPS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(filtered[2 : 2 + shape[0], 2 : 2 + shape[1]])


def _without_small_regions(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Regions of either kind that are smaller than a hundredth of the image go over to the other kind."""
    for kind in (True, False):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((chosen == kind).astype(np.uint8), connectivity=8)
        small = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < _SMALL_REGION * chosen.size]
        chosen = np.where(np.isin(labels, small), not kind, chosen)
    return chosen


def _guided(image: Floats, guide: Floats) -> Floats:
    """He, Sun, Tang, "Guided Image Filtering", ECCV 2010; the window is cut off at the border."""
    side = 2 * _GUIDE_RADIUS + 1

    def mean(x: Floats) -> Floats:
        total = cv2.boxFilter(x, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(total / count)

    count = cv2.boxFilter(np.ones_like(image), -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    mean_g, mean_i = mean(guide), mean(image)
    slope = (mean(guide * image) - mean_g * mean_i) / (mean(guide * guide) - mean_g**2 + _GUIDE_EPS)
    return mean(slope) * guide + mean(mean_i - slope * mean_g)
