"""Measuring fusion and classification on folders, datasets and bags.

No ROS, and torch only lazily; nothing that the fusion node imports may depend on this room.
"""
