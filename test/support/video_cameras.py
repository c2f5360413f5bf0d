"""Two cameras that send video: one packet each, with its stamp, for each Header on ``trigger``.

Argument: a JSON file with the transport, the package and the name of its messages, and ``packets``: by case and camera
what the encoding is called and the data, hexadecimal. The Header's frame_id says which case.
"""

import array
import contextlib
import functools
import importlib
import json
import sys
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

given = json.loads(Path(sys.argv[1]).read_text())
kind = getattr(importlib.import_module(f"{given['package']}.msg"), given["name"])
rclpy.init()
node = rclpy.create_node("video_cameras")
cameras = {
    camera: node.create_publisher(kind, f"{camera}/image/{given['transport']}", QoSProfile(depth=100))
    for camera in ("visible", "thermal")
}


def message(camera, stamp, encoding, data):
    frame_id = f"{camera}_optical_frame"
    if given["transport"] == "foxglove":
        return kind(timestamp=stamp, frame_id=frame_id, format=encoding, data=data)
    return kind(header=Header(stamp=stamp, frame_id=frame_id), encoding=encoding, data=data)


def send(publishers, header):
    for camera, publisher in publishers.items():
        encoding, octets = given["packets"][header.frame_id][camera]
        publisher.publish(message(camera, header.stamp, encoding, array.array("B", bytes.fromhex(octets))))


node.create_subscription(Header, "trigger", functools.partial(send, cameras), QoSProfile(depth=100))
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
