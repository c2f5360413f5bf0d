"""What waits in ``RareCallbacks`` is served, seldom, and holds nothing up."""

from __future__ import annotations

import threading
import time

import pytest
from harness import lone_node
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from vi_fusion_ros.node import qos
from vi_fusion_ros.node.process.background_executor import spin_once
from vi_fusion_ros.node.process.rare_callbacks import OPEN_S, PERIOD_S, RareCallbacks

pytestmark = pytest.mark.ros
WITHIN_S = 30.0


@pytest.fixture
def node():
    with lone_node("rare") as node:
        yield node


def spin_until(node, condition):
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    errors = []
    end = time.monotonic() + WITHIN_S
    while not condition() and time.monotonic() < end:
        spin_once(executor, errors.append)
    executor.shutdown()
    assert errors == []
    assert condition()


def test_it_opens_once_in_a_period_and_not_for_longer_than_it_says():
    now = [100.0]
    group = RareCallbacks(lambda: now[0])
    entity = threading.Event()  # anything that can be referred to weakly
    group.add_entity(entity)
    open_at = []
    for _ in range(400):
        if group.can_execute(entity):
            open_at.append(now[0])
        now[0] += 0.01
    starts = [at for before, at in zip([0.0, *open_at], open_at, strict=False) if at - before > OPEN_S]
    assert len(starts) == 4
    assert len(open_at) == pytest.approx(4 * OPEN_S / 0.01, abs=4)


def test_it_opens_again_after_nobody_asked_for_long():
    now = [100.0]
    group = RareCallbacks(lambda: now[0])
    entity = threading.Event()
    group.add_entity(entity)
    assert group.can_execute(entity)
    now[0] += 5.3 * PERIOD_S
    assert group.can_execute(entity)


@pytest.mark.parametrize("mine", ["publisher", "subscription"])
def test_an_event_is_told_while_other_callbacks_keep_the_executor_busy(node, mine):
    told, beats = [], []
    events = RareCallbacks()
    strict = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    loose = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    if mine == "publisher":
        node.create_publisher(
            Header, "t", loose, event_callbacks=qos.on_incompatible_publisher(told.append, "/t"), callback_group=events
        )
        node.create_subscription(Header, "t", lambda _: None, strict)
    else:
        subscription = node.create_subscription(
            Header, "t", lambda _: None, strict, event_callbacks=qos.on_incompatible_subscription(told.append, "/t")
        )
        events.take_over(subscription.event_handlers)
        node.create_publisher(Header, "t", loose)
    node.create_timer(0.003, lambda: beats.append(1))
    spin_until(node, lambda: bool(told))
    assert "RELIABILITY" in told[0]
    before = len(beats)
    spin_until(node, lambda: len(beats) > before + 100)


def test_an_event_is_told_by_a_quiet_node(node):
    told = []
    loose = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_publisher(
        Header,
        "t",
        loose,
        event_callbacks=qos.on_incompatible_publisher(told.append, "/t"),
        callback_group=RareCallbacks(),
    )
    node.create_subscription(Header, "t", lambda _: None, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    spin_until(node, lambda: bool(told))
