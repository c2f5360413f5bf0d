"""QoS of the node's topics: sensor-data in, reliable out, each overridable by the standard ROS parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

_LAST = HistoryPolicy.KEEP_LAST
_PASSING = DurabilityPolicy.VOLATILE

IMAGE_IN = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT, history=_LAST, durability=_PASSING)
"""Sensor data: takes images from reliable and from best-effort cameras."""

OUT = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, history=_LAST, durability=_PASSING)
"""Reliable: serves reliable and best-effort subscribers."""

VIDEO = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE, history=_LAST, durability=_PASSING)
"""As ``OUT``, and deeper: a packet that is lost spoils the pictures up to the next key frame."""

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, history=_LAST, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
"""The last message waits for whoever subscribes later."""

_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def copy_of(profile: QoSProfile) -> QoSProfile:
    """A profile of its own: rclpy writes parameter overrides into the one that it is given."""
    return QoSProfile(
        depth=profile.depth,
        history=profile.history,
        reliability=profile.reliability,
        durability=profile.durability,
    )


def overridable() -> QoSOverridingOptions:
    """Options that declare ``qos_overrides./<topic>.<subscription|publisher>.<policy>`` parameters."""
    return QoSOverridingOptions(policy_kinds=_OVERRIDABLE)


def on_incompatible_subscription(report: Callable[[str], None], topic: str) -> SubscriptionEventCallbacks:
    """Event callbacks that name the topic and the policy when a publisher's QoS does not match."""
    return SubscriptionEventCallbacks(incompatible_qos=lambda event: report(_sentence(topic, "publisher", event)))


def on_incompatible_publisher(report: Callable[[str], None], topic: str) -> PublisherEventCallbacks:
    """Event callbacks that name the topic and the policy when a subscriber's QoS does not match."""
    return PublisherEventCallbacks(incompatible_qos=lambda event: report(_sentence(topic, "subscriber", event)))


def _sentence(topic: str, peer: str, event: Any) -> str:
    try:
        policy = QoSPolicyKind(int(event.last_policy_kind)).name
    except ValueError:
        policy = str(event.last_policy_kind)
    return (
        f"{topic}: a {peer}'s QoS is incompatible in {policy}, so nothing flows between it and this node; change it "
        f"there, or here by the parameter qos_overrides.{topic}.*"
    )
