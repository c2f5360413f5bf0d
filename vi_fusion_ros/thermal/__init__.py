"""Thermal images: what a count is worth, repairs, the way to 8 bit, and streams that stand still. Free of ROS."""

from vi_fusion_ros.thermal.defects import flat_field, without_dead_pixels
from vi_fusion_ros.thermal.radiometry import Radiometry
from vi_fusion_ros.thermal.stream import StreamMonitor, StreamState
from vi_fusion_ros.thermal.tone_mapping import ToneMapper

__all__ = ["Radiometry", "StreamMonitor", "StreamState", "ToneMapper", "flat_field", "without_dead_pixels"]
