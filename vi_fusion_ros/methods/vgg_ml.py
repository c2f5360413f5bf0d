"""Detail weighted by the activity of a classifier's features, at several layers.

Li, Wu, Kittler, "Infrared and Visible Image Fusion using a Deep Learning Framework", ICPR 2018 ("DLF" in VIFB). The
bases are averaged. The details go through a network that was trained on ImageNet; at each of its layers the source of
the larger features gets the larger weight; of the fused details, one a layer, the largest is taken. The paper has
VGG-19 in this place; any network whose features are called ``stride1``, ``stride2``, ``stride4`` and ``stride8`` does.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, plane
from vi_fusion_ros.methods.tikhonov import split

_COARSEST = 8

Floats = npt.NDArray[np.float64]


def vgg_ml(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse with the features of up to four layers."""
    bases, details = zip(*(split(image / 255.0) for image in (visible, thermal)), strict=True)
    layers = list(zip(network.outputs, *(network(plane(detail, 3)) for detail in details), strict=True))
    fused = [
        fused_detail(details[0], details[1], a[0], b[0], stride)
        for name, a, b in layers
        if (stride := int(name.removeprefix("stride"))) <= _COARSEST
    ]
    return to_bytes((bases[0] + bases[1]) / 2 + np.max(fused, axis=0))


def fused_detail(
    first: Floats, second: Floats, of_first: npt.NDArray[np.float32], of_second: npt.NDArray[np.float32], stride: int
) -> Floats:
    """The details weighted by the features of one layer.

    Args:
        first: (H, W).
        second: the same.
        of_first: features of ``first``, (C, h, w).
        of_second: features of ``second``.
        stride: pixels that one feature is of. What the features do not reach gets no detail.

    Returns:
        (H, W).
    """
    a, b = (activity(features) for features in (of_first, of_second))
    share = a / np.maximum(a + b, np.finfo(float).tiny)
    out = np.zeros_like(first)
    blocks = np.repeat(np.repeat(share, stride, 0), stride, 1)[: first.shape[0], : first.shape[1]]
    reached = tuple(slice(side) for side in blocks.shape)
    out[reached] = blocks * first[reached] + (1 - blocks) * second[reached]
    return out


def activity(features: npt.NDArray[np.float32]) -> Floats:
    """Sum over the channels of (C, h, w) of their magnitude, and the mean of it over 3×3; zero outside."""
    total = np.abs(features).sum(0, dtype=np.float64)
    return np.asarray(cv2.boxFilter(total, -1, (3, 3), borderType=cv2.BORDER_CONSTANT))
