"""Where the thermal image lies in the visible one: rig file, warp, drift monitor, and the manager of what applies now.

No ROS; how a rig is found lies in ``estimate/``.
"""

from vi_fusion_ros.registration.manager import RegistrationManager
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.registration.warp import Registration

__all__ = ["Registration", "RegistrationManager", "Rig"]
