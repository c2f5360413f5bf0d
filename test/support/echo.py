"""Print the messages of topics, a JSON object a line: TOPIC TYPE..., for example /image sensor_msgs/msg/Image.

Of topics whose name begins with "+" what was published before is asked for too, as transient local.
"""

import contextlib
import importlib
import json
import sys
from functools import partial

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile

from vi_fusion_ros.node.messages import to_plain


def say(topic, message):
    print(json.dumps({"topic": topic, "message": to_plain(message)}), flush=True)


rclpy.init()
node = rclpy.create_node("echo")
for topic, kind in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    package, _, name = kind.split("/")
    durability = DurabilityPolicy.TRANSIENT_LOCAL if topic[0] == "+" else DurabilityPolicy.VOLATILE
    message_type = getattr(importlib.import_module(f"{package}.msg"), name)
    name = topic.lstrip("+")
    node.create_subscription(message_type, name, partial(say, name), QoSProfile(depth=100, durability=durability))
with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
    rclpy.spin(node)
