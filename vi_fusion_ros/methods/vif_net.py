"""Dense features of both sources, and a decoder; trained without a wished image.

Hou et al., "VIF-Net: An Unsupervised Framework for Infrared and Visible Image Fusion", IEEE Transactions on
Computational Imaging 6, 2020.
"""

from __future__ import annotations

import numpy as np

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, unit_image


def vif_net(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse; the loss leaves the mean brightness free, so that of the sources is put back."""
    fused = unit_image(network, visible, thermal)
    wanted = (float(visible.mean()) + float(thermal.mean())) / 510
    return to_bytes(fused + (wanted - fused.mean(dtype=np.float64)))
