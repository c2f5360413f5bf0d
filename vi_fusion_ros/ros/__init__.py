"""Nodes, messages and everything else that knows ROS. Nothing outside this package imports rclpy or messages."""
