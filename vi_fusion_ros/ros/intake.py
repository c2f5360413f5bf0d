"""Takes the messages of a few subscriptions, serialised, on a thread of its own.

rclpy's executors build a wait set of everything that a node has (some 30 services, timers and events here) for every
message, which costs more than taking the message. Here the wait set holds only these subscriptions, and the executor
is left with what comes seldom. docs/performance.md has the measurements.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vi_fusion_ros.ros import qos

_WAKE_NS = 1_000_000_000  # a trigger that got lost would cost this long and no more


class _LeftToIntake(CallbackGroup):  # type: ignore[misc]  # rclpy has no types on Humble
    """Keeps the executors off the subscriptions, but not off their QoS events."""

    def can_execute(self, entity: Any) -> bool:
        """Whether an executor may wait on ``entity``."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, entity: Any) -> bool:
        """Whether an executor may execute ``entity``."""
        return not isinstance(entity, Subscription)

    def ending_execution(self, entity: Any) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class _Stream:
    subscription: Subscription
    callback: Callable[[bytes], None]


class Intake:
    """Subscriptions of one node, served by one thread.

    Args:
        node: the node that owns the subscriptions.
        report: takes one sentence about an exception or about incompatible QoS; must not raise.
    """

    def __init__(self, node: Node, report: Callable[[str], None]) -> None:
        self._node, self._report = node, report
        self._group = _LeftToIntake()
        self._streams: list[_Stream] = []
        self._stopping = False
        self._wake = GuardCondition(None, None, context=node.context)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def subscribe(self, kind: Any, topic: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe; ``callback`` gets each message as serialised on the wire. Only before ``start``."""
        subscription = self._node.create_subscription(
            kind,
            topic,
            callback,
            qos.copy_of(qos.IMAGE_IN),
            callback_group=self._group,
            event_callbacks=qos.on_incompatible_subscription(self._report, self._node.resolve_topic_name(topic)),
            qos_overriding_options=qos.overridable(),
            raw=True,
        )
        self._streams.append(_Stream(subscription, callback))

    def profile(self, topic: str) -> QoSProfile:
        """The QoS, overrides included, with which a topic (resolved name) is subscribed to."""
        return next(s.subscription.qos_profile for s in self._streams if s.subscription.topic_name == topic)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the subscriptions off the graph."""
        self._stopping = True
        if self._thread.is_alive():
            self._wake.trigger()
            self._thread.join()
        for stream in self._streams:
            self._node.destroy_subscription(stream.subscription)
        self._streams = []
        self._wake.destroy()

    def _run(self) -> None:
        context = self._node.context
        with ExitStack() as in_use:  # nothing is destroyed while it is waited on
            for handle in (
                *(stream.subscription.handle for stream in self._streams),
                self._wake.handle,
                context.handle,
            ):
                in_use.enter_context(handle)
            wait_set = _rclpy.WaitSet(len(self._streams), 1, 0, 0, 0, 0, context.handle)
            while not self._stopping and context.ok():
                try:
                    self._serve(wait_set)
                except Exception as error:  # a thread that dies would silence the node
                    if context.ok():
                        self._report(f"{type(error).__name__} while taking an image: {error}")

    def _serve(self, wait_set: Any) -> None:
        wait_set.clear_entities()
        for stream in self._streams:
            wait_set.add_subscription(stream.subscription.handle)
        wait_set.add_guard_condition(self._wake.handle)
        wait_set.wait(_WAKE_NS)
        ready = wait_set.get_ready_entities("subscription")
        for stream in self._streams:
            handle = stream.subscription.handle
            if handle.pointer in ready:
                taken = handle.take_message(stream.subscription.msg_type, True)
                if taken is not None:
                    stream.callback(taken[0])
