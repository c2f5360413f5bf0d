"""A small network without a task of its own: features of both sources, their maximum, and back to an image.

Zhang et al., "IFCNN: A general image fusion framework based on convolutional neural network", Information Fusion 54,
2020. Its published results have the sources normalised as ImageNet's images ("imagenet"); its present code has them as
they are ("none"), which gives other, flatter images.
"""

from __future__ import annotations

import numpy as np

from vi_fusion_ros.methods.base import Gray8
from vi_fusion_ros.methods.networks import Network, plane

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
IMAGENET_SPREAD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)


def ifcnn(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse as the published results were."""
    return fuse(network, visible, thermal, "imagenet")


def fuse(network: Network, visible: Gray8, thermal: Gray8, normalised: str) -> Gray8:
    """Fuse with either normalisation.

    Args:
        network: of two images (1, 3, H, W).
        visible: (H, W) uint8.
        thermal: (H, W) uint8.
        normalised: ``imagenet`` or ``none``.
    """
    mean, spread = (IMAGENET_MEAN, IMAGENET_SPREAD) if normalised == "imagenet" else (np.float32(0), np.float32(1))
    sources = [(plane(image / np.float32(255), 3) - mean) / spread for image in (visible, thermal)]
    fused = np.clip(network(*sources)[0] * spread + mean, 0, 1)
    red, green, blue = (fused[0] * np.float32(255)).astype(np.int32)  # cut off, not rounded, as published
    return ((4899 * red + 9617 * green + 1868 * blue + 8192) >> 14).astype(np.uint8)  # as OpenCV's RGB2GRAY
