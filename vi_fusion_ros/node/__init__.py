"""What runs on the robot: the fusion node and its parts.

Besides ``tools/`` the only room that imports rclpy and messages; tools, commands and torch stay out.
"""
