"""A small transformer with shifted windows, trained by the loss of our network: transformer or convolutions?"""

from __future__ import annotations

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, unit_image


def swin(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse by attention within windows of 16×16 pixels."""
    return to_bytes(unit_image(network, visible, thermal))
