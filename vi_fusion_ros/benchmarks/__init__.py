"""Measuring models: what can be timed, how it is timed, and how two measurements compare.

No ROS: what needs running nodes is measured in ``tools/``.
"""
