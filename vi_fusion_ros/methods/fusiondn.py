"""One densely connected network for several kinds of fusion, learned one after the other.

Xu, Ma, Le, Jiang, Guo, "FusionDN: A Unified Densely Connected Network for Image Fusion", AAAI 2020.
"""

from __future__ import annotations

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, unit_image


def fusiondn(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse.

    Raises:
        ValueError: the images have less than 2 pixels a side: their edges are mirrored.
    """
    height, width = visible.shape
    if min(height, width) < 2:
        raise ValueError(f"method fusiondn: the images are {width}×{height}; expected at least 2 pixels a side")
    return to_bytes(unit_image(network, visible, thermal))
