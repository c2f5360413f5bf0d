"""Where frames come from when there is no camera: videos, folders and a synthetic scene.

No ROS; ``tools/`` publishes what is drawn here.
"""
