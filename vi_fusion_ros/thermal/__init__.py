"""Thermal images: radiometric scale, non-uniformity correction, AGC to 8 bit, hot regions; noise of low light.

No ROS, no pairing and no health of streams: those lie in ``sync/``.
"""

from vi_fusion_ros.thermal.agc import ToneMapper
from vi_fusion_ros.thermal.camera import ThermalCamera
from vi_fusion_ros.thermal.nuc import Destriper, dead_pixels, flat_field, without_dead_pixels
from vi_fusion_ros.thermal.radiometry import Radiometry

__all__ = [
    "Destriper",
    "Radiometry",
    "ThermalCamera",
    "ToneMapper",
    "dead_pixels",
    "flat_field",
    "without_dead_pixels",
]
