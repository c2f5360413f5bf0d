"""The other side of a bond, as nav2's lifecycle manager has it: alive until SIGUSR1, and prints what it hears.

Arguments: the id of the bond.
"""

import json
import signal
import sys

import rclpy
from bond.msg import Status
from rclpy.executors import ExternalShutdownException

rclpy.init()
node = rclpy.create_node("manager")
own = Status(id=sys.argv[1], instance_id="sister", active=True, heartbeat_timeout=4.0, heartbeat_period=0.1)
publisher = node.create_publisher(Status, "bond", 100)


def hear(status):
    if status.instance_id != own.instance_id:
        print(json.dumps([status.id, status.instance_id, status.active]), flush=True)


def die(*_):
    own.active = False


signal.signal(signal.SIGUSR1, die)
node.create_subscription(Status, "bond", hear, 100)
node.create_timer(0.1, lambda: publisher.publish(own))
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    sys.exit(0)
