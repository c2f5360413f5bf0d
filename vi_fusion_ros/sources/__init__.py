"""Where frames come from when there is no camera: videos, folders and a synthetic scene. Free of ROS."""
