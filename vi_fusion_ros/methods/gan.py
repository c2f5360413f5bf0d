"""A visible image enhanced without pairs, then fused by a generator that was trained against a judge.

A reconstruction of the idea of Sulthana and Joseph, "Infrared and visible image: enhancement and fusion using
adversarial network", AIP Conference Proceedings 3037, 2024, of which no text was at hand.
"""

from __future__ import annotations

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.networks import Network, unit_image


def gan(network: Network, visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse."""
    return to_bytes(unit_image(network, visible, thermal))
