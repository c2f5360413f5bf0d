"""Subscriptions to /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

_KEEP_TF = 100  # messages; many nodes publish to /tf_static, each once


def subscribe_to_transforms(
    node: Node, on_transforms: Callable[[Any], None], undo: list[Callable[[], object]], what: str
) -> None:
    """Subscribe to both.

    Args:
        node: owns the subscriptions.
        on_transforms: takes each ``TFMessage``.
        undo: gets what takes the subscriptions off the graph, one by one as they are made.
        what: needs them, for what is said.

    Raises:
        ValueError: the package tf2_msgs is missing; one sentence.
    """
    message_type = tf_message(what)
    static = QoSProfile(depth=_KEEP_TF, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for topic, profile in (("/tf_static", static), ("/tf", QoSProfile(depth=_KEEP_TF))):
        subscription = node.create_subscription(message_type, topic, on_transforms, profile)
        undo.append(partial(node.destroy_subscription, subscription))


def tf_message(what: str) -> Any:
    """The class TFMessage.

    Args:
        what: needs it, for what is said.

    Raises:
        ValueError: the package tf2_msgs is missing; one sentence.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise ValueError(
            f"{what} needs the package tf2_msgs; install it (apt: ros-$ROS_DISTRO-tf2-msgs), or name a rig file"
        ) from None
    return TFMessage
