"""Sources weighted by deep features that were whitened.

Li, Wu, Durrani, "Infrared and visible image fusion with ResNet and zero-phase component analysis", Infrared Physics &
Technology 102, 2019. The paper takes ResNet-50's features at stride 16 (``res4f``) or 32 (``res5c``); here it is the
last output of whatever network is given.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, plane

_SMALLEST_POWER = 1e-5
_SIDE = 5

Floats = npt.NDArray[np.float64]


def resnet_zca(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse with the features of the last layer."""
    first, second = visible / 255.0, thermal / 255.0
    return to_bytes(fused(first, second, network(plane(first, 3))[-1][0], network(plane(second, 3))[-1][0]))


def fused(
    first: Floats, second: Floats, of_first: npt.NDArray[np.float32], of_second: npt.NDArray[np.float32]
) -> Floats:
    """The sources (H, W), weighted by the activity of their features (C, h, w); halves where there is none."""
    a, b = (enlarged(activity(whitened(features)), first.shape) for features in (of_first, of_second))
    total = a + b
    share = np.divide(a, total, out=np.full_like(a, 0.5), where=total != 0)
    return np.asarray(share * first + (1 - share) * second)


def whitened(features: npt.NDArray[np.float32]) -> Floats:
    """Each channel of (C, h, w) without its mean and correlation of rows (zero-phase component analysis).

    A channel whose mean is zero, as one that never responds, is passed over: it becomes zero.
    """
    x = features.astype(np.float64)
    mean = x.mean((1, 2), keepdims=True)
    x = (x - mean) * (mean != 0)
    power, axes = np.linalg.eigh(x @ x.transpose(0, 2, 1))
    scale = 1 / np.sqrt(np.maximum(power, 0) + _SMALLEST_POWER)
    return np.asarray((axes * scale[:, None]) @ axes.transpose(0, 2, 1) @ x)


def activity(features: Floats) -> Floats:
    """Sum over the channels of (C, h, w) of their magnitude, and the mean of it over 5×5; zero outside."""
    total = np.abs(features).sum(0)
    return np.asarray(cv2.boxFilter(total, -1, (_SIDE, _SIDE), borderType=cv2.BORDER_CONSTANT))


def enlarged(image: Floats, shape: tuple[int, ...]) -> Floats:
    """Bicubic interpolation to ``shape`` as MATLAB's ``imresize`` (a = -0.5, edges mirrored); OpenCV's has -0.75."""
    down, across = (_cubic(old, new) for old, new in zip(image.shape, shape, strict=True))
    return np.asarray(down @ image @ across.T)


def _cubic(old: int, new: int) -> Floats:
    """(new, old) weights of interpolation along one axis."""
    place = (np.arange(new) + 0.5) * old / new - 0.5
    weights = np.zeros((new, old))
    for offset in range(-1, 3):
        source = np.floor(place).astype(int) + offset
        distance = np.abs(place - source)
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        mirrored = source % (2 * old)
        mirrored = np.where(mirrored < old, mirrored, 2 * old - 1 - mirrored)
        np.add.at(weights, (np.arange(new), mirrored), np.where(distance <= 1, near, far))
    return weights
