"""A depth camera for ``vi-fusion benchmark node --depth``: each visible image gets a depth image with its stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from vi_fusion_ros.benchmarks.rigs import depth_scene
from vi_fusion_ros.images.wire_format import image_bytes, read_image
from vi_fusion_ros.tools.plain_node import run


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
            self._depth = depth_scene(visible.height, visible.width)
        stamp = visible.header.stamp
        self._publisher.publish(image_bytes((stamp.sec, stamp.nanosec), visible.header.frame_id, self._depth))


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run(DepthCamera, args)


if __name__ == "__main__":
    main()
