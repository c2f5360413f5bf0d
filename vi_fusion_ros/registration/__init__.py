"""How the thermal camera lies in the visible one: the rig file, the warp made from it, and its drift.

No ROS; how a rig is found lies in ``estimate/``.
"""

from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.registration.warp import Registration

__all__ = ["Registration", "Rig"]
