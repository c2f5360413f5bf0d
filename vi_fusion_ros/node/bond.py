"""The node's side of a bond, by which nav2's lifecycle manager sees that a node it has activated still works.

The protocol is that of bondcpp, whose other side the manager has: both publish ``bond/Status`` under one id, each with
an instance of its own; one that says that it is not active, or falls silent, breaks the bond. bondpy, which has this
side too, is not there in every distribution, and beats on a thread of its own, also where the executor hangs.
"""

from __future__ import annotations

import uuid
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

try:
    from bond.msg import Status

    INSTALLED = True
    """Whether the messages are there (apt: ros-$ROS_DISTRO-bond); without, there can be no bond."""
except ImportError:
    INSTALLED = False

_TOPIC = "bond"  # of nav2, relative: the manager has to be in the namespace of its nodes
_PERIOD_S = 0.1  # of nav2's nodes
_TIMEOUT_S = 4.0  # bondcpp's default
_KEEP = 100  # every bond of a robot is on the one topic


class Bond:
    """Heartbeats from the executor of a node, which are what the other side wants to know of.

    Nothing is published while nobody else is on the topic. A bond that the other side has broken stays so until
    the next ``start``.

    Args:
        node: its name is the id of the bond.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._instance = node, ""
        self._publisher = node.create_publisher(Status, _TOPIC, _KEEP)
        self._subscription = node.create_subscription(Status, _TOPIC, self._on_status, _KEEP)
        self._timer = node.create_timer(_PERIOD_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._timer.cancel()

    def start(self) -> None:
        """Be alive from now on, as a new instance."""
        self._instance = str(uuid.uuid4())
        self._timer.reset()
        self._beat()

    def stop(self) -> None:
        """Break the bond; nothing where there is none."""
        if self._instance:
            self._timer.cancel()
            self._say(active=False)
            self._instance = ""

    def _beat(self) -> None:
        if self._publisher.get_subscription_count() > 1:  # one is our own
            self._say(active=True)

    def _on_status(self, status: Any) -> None:
        other = status.id == self._node.get_name() and status.instance_id != self._instance
        if other and not status.active:
            self.stop()  # it waits for that

    def _say(self, active: bool) -> None:
        status = Status(
            id=self._node.get_name(),
            instance_id=self._instance,
            active=active,
            heartbeat_timeout=_TIMEOUT_S,
            heartbeat_period=_PERIOD_S,
        )
        status.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(status)
