"""Subscriptions whose messages arrive as serialised on the wire; wire_format.py reads them in place.

They are served by the node's executor. A thread of their own with a wait set of their own was measured and given up:
docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vi_fusion_ros.node import qos
from vi_fusion_ros.node.teardown import take_down


class ImageSubscriptions:
    """Image subscriptions of one node.

    Args:
        node: the node that owns the subscriptions.
        report: takes one sentence about incompatible QoS; must not raise.
    """

    def __init__(self, node: Node, report: Callable[[str], None]) -> None:
        self._node, self._report = node, report
        self._subscriptions: list[Subscription] = []

    def subscribe(self, kind: Any, topic: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe; ``callback`` gets each message as serialised on the wire."""
        self._subscriptions.append(
            self._node.create_subscription(
                kind,
                topic,
                callback,
                qos.copy_of(qos.IMAGE_IN),
                event_callbacks=qos.on_incompatible_subscription(self._report, self._node.resolve_topic_name(topic)),
                qos_overriding_options=qos.overridable(),
                raw=True,
            )
        )

    def profile(self, topic: str) -> QoSProfile:
        """The QoS, overrides included, with which a topic (resolved name) is subscribed to."""
        return next(s.qos_profile for s in self._subscriptions if s.topic_name == topic)

    def stop(self) -> None:
        """Take the subscriptions off the graph."""
        subscriptions, self._subscriptions = self._subscriptions, []
        take_down((partial(self._node.destroy_subscription, s) for s in subscriptions), self._report)
