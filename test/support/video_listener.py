"""Writes each message of a video topic as it comes over the wire into a file.

Each lies behind its length (little endian, 32 bit).

Arguments: type of the messages, name of the topic, the file.
"""

import contextlib
import importlib
import struct
import sys
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile

package, _, name = sys.argv[1].split("/")
rclpy.init()
node = rclpy.create_node("video_listener")
with Path(sys.argv[3]).open("ab", buffering=0) as file:
    node.create_subscription(
        getattr(importlib.import_module(f"{package}.msg"), name),
        sys.argv[2],
        lambda wire: file.write(struct.pack("<I", len(wire)) + wire),
        QoSProfile(depth=100),
        raw=True,
    )
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
