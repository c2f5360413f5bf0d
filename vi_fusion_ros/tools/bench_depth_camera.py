"""A depth camera for ``vi-fusion benchmark node --depth``: each visible image gets a depth image with its stamp.

A wall at 4 m with noise, and a box at 2 m in front of it, which hides some of the wall from the thermal camera.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from vi_fusion_ros.images.wire_format import image_bytes, read_image


class DepthCamera(Node):
    """Subscribes to ``visible/image``, publishes ``depth/image``, uint16 millimetres."""

    def __init__(self) -> None:
        super().__init__("depth_camera")
        self._depth: npt.NDArray[np.uint16] | None = None
        self._publisher = self.create_publisher(Image, "depth/image", qos_profile_sensor_data)
        self.create_subscription(Image, "visible/image", self._take, qos_profile_sensor_data, raw=True)

    def _take(self, wire: Any) -> None:
        visible = read_image(wire)
        if self._depth is None or self._depth.shape != (visible.height, visible.width):
            self._depth = scene(visible.height, visible.width)
        stamp = visible.header.stamp
        self._publisher.publish(image_bytes((stamp.sec, stamp.nanosec), visible.header.frame_id, self._depth))


def scene(height: int, width: int) -> npt.NDArray[np.uint16]:
    """The depth image, (height, width), millimetres."""
    depth = np.random.default_rng(3).normal(4000, 20, (height, width)).astype(np.uint16)
    depth[height // 4 : height * 3 // 4, width * 5 // 16 : width * 11 // 16] = 2000
    return depth


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted."""
    rclpy.init(args=args)
    node = DepthCamera()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
