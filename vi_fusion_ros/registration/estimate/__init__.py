"""Finding out how two cameras lie to each other: from boards, scenes, points and motion, and which rig to keep.

What a frame needs while the node runs lies one folder up; no ROS, no engines.
"""
