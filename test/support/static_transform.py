"""Publishes one transform to /tf_static until it is interrupted: PARENT CHILD X Y Z QX QY QZ QW."""

import contextlib
import sys

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

rclpy.init()
node = rclpy.create_node("static_transform")
publisher = node.create_publisher(
    TFMessage, "/tf_static", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
)
stamped = TransformStamped()
stamped.header.frame_id, stamped.child_frame_id = sys.argv[1:3]
numbers = [float(value) for value in sys.argv[3:]]
for field, value in zip("xyz", numbers[:3], strict=True):
    setattr(stamped.transform.translation, field, value)
for field, value in zip("xyzw", numbers[3:], strict=True):
    setattr(stamped.transform.rotation, field, value)
publisher.publish(TFMessage(transforms=[stamped]))
with contextlib.suppress(KeyboardInterrupt):
    rclpy.spin(node)
