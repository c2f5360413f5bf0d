"""How the thermal camera lies in the visible one: the rig file, and the warp made from it."""

from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.registration.warp import Registration

__all__ = ["Registration", "Rig"]
