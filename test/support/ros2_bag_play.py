"""Stands in for ``ros2 bag play BAG …``, which no wheel has: plays pairs of images once both nodes subscribe to them.

The "bag" is a file with the number of pairs; one that is not there cannot be played.
"""

import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from vi_fusion_ros.images.encodings import fill_image
from vi_fusion_ros.node.messages import to_time

_SUBSCRIBERS = 2
_PERIOD_NS = 1_000_000_000 // 30
_START_NS = 1_700_000_000_000_000_000

pairs = int(Path(sys.argv[sys.argv.index("play") + 1]).read_text())
rclpy.init()
node = rclpy.create_node("rosbag2_player")
quality = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
cameras = {name: node.create_publisher(Image, f"{name}/image", quality) for name in ("visible", "thermal")}
clock = node.create_publisher(Clock, "/clock", 10)
while rclpy.ok() and any(camera.get_subscription_count() < _SUBSCRIBERS for camera in cameras.values()):
    rclpy.spin_once(node, timeout_sec=0.05)
for number in range(pairs):
    stamp = to_time(_START_NS + number * _PERIOD_NS)
    clock.publish(Clock(clock=stamp))
    for name, camera in cameras.items():
        ramp = np.tile(np.arange(80, dtype=np.uint8) + number, (64, 1))
        image = np.dstack([ramp] * 3) if name == "visible" else 29000 + ramp.astype(np.uint16)
        message = fill_image(Image(), image)
        message.header.stamp = stamp
        camera.publish(message)
    time.sleep(_PERIOD_NS / 1e9)  # its pace is what is played
for camera in cameras.values():
    camera.wait_for_all_acked(rclpy.duration.Duration(seconds=10))
node.destroy_node()
rclpy.shutdown()
