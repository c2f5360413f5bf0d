"""An encoder whose features of both sources are added, and a decoder; made for exposures, much used for infrared.

Prabhakar, Srikar, Babu, "DeepFuse: A Deep Unsupervised Approach for Exposure Fusion with Extreme Exposure Image Pairs",
ICCV 2017. Two published networks go by this name: that of the authors, and an auto-encoder by Li Hui (``deepfuse-ae``),
which is what most comparisons of infrared fusion have run. Both stretch what comes out to the whole range, so that the
brightness of a fused image means nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, plane

_BLACK, _RANGE = 16, 219  # of luma in ITU-R BT.601's limited range


def deepfuse(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse by the network that its authors describe, of luma in limited range."""
    return fuse(network, *(_BLACK + _RANGE / 255 * image for image in (visible, thermal)))


def autoencoder(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse by Li's network, of luma in full range."""
    return fuse(network, visible, thermal)


def fuse(network: Network, first: npt.NDArray[np.number], second: npt.NDArray[np.number]) -> Gray8:
    """Fuse luma (H, W) in the range that the network was trained with; an even image comes out black."""
    fused = network(plane(first), plane(second))[0][0, 0].astype(np.float64)
    low, high = float(fused.min()), float(fused.max())
    return to_bytes((fused - low) / ((high - low) or 1.0))
