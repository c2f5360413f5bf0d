"""Two cameras, visible/image and thermal/image, see a heated checkerboard of 9x6 corners, each second elsewhere."""

import contextlib
from itertools import count

import cv2
import numpy as np
import rclpy
import rig_renderer as world
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from vi_fusion_ros.registration.estimate.boards import Board

RATE = 10
random = np.random.default_rng(0)
blobs = cv2.resize(random.integers(0, 255, (12, 16), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
behind = world.scene(blobs, 255 - blobs)
board = Board("checkerboard", 9, 6, 0.04)
views = [world.board_view(board, pose, behind, number) for number, pose in enumerate(world.poses(10))]

rclpy.init()
node = rclpy.create_node("board_cameras")
publishers = [node.create_publisher(Image, f"{camera}/image", QoSProfile(depth=1)) for camera in ("visible", "thermal")]
frames = count()


def send():
    stamp = node.get_clock().now().to_msg()
    for publisher, grey in zip(publishers, views[next(frames) // RATE % len(views)], strict=True):
        message = Image(height=grey.shape[0], width=grey.shape[1], encoding="mono8", step=grey.shape[1])
        message.header.stamp = stamp
        message.data = grey.tobytes()
        publisher.publish(message)


node.create_timer(1 / RATE, send)
print("rendered")
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
