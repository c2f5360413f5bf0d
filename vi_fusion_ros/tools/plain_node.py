"""The usual main function of a node that has nothing to save: spin, and end in silence when interrupted."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def run(make: Callable[[], Node], args: list[str] | None) -> None:
    """Make a node and run it until it is interrupted.

    Args:
        make: makes the node.
        args: arguments of ROS; None takes those of the process.
    """
    rclpy.init(args=args)
    node = make()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
