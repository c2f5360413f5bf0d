"""Spinning goes on whatever raises, and takes no core for it."""

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from harness import lone_node, wait_until
from rclpy.executors import SingleThreadedExecutor

from vi_fusion_ros.node.process import background_executor
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor, spin_once
from vi_fusion_ros.node.process.background_work import BackgroundWork

pytestmark = pytest.mark.ros


@pytest.fixture
def node():
    with lone_node("spun") as node:
        yield node


class Broken(SingleThreadedExecutor):
    """Raises where rclpy waits, as it does when what it waits for is gone; counts the attempts."""

    attempts = 0

    def _wait_for_ready_callbacks(self, *args, **kwargs):
        self.attempts += 1
        raise RuntimeError("failed to wait on wait set")


def test_an_executor_that_raises_is_not_asked_at_full_speed(node, monkeypatch):
    executor = Broken(context=node.context)
    executor.add_node(node)
    said, pauses = [], []
    monkeypatch.setattr(background_executor.time, "sleep", pauses.append)
    for _ in range(3):
        spin_once(executor, said.append)
    assert said == ["the executor failed: RuntimeError: failed to wait on wait set"] * 3
    assert executor.attempts == 3
    assert len(pauses) == 3
    assert min(pauses) >= 0.05
    executor.shutdown()


def test_what_a_callback_raises_is_said_and_the_others_go_on(node):
    calls, said = [], []

    def bad():
        raise AttributeError("no such thing")

    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    node.create_timer(0.001, bad)
    node.create_timer(0.001, lambda: calls.append(1))

    def both():
        spin_once(executor, said.append)
        return len(calls) >= 3 and len(said) >= 3

    wait_until(both, "both timers")
    assert set(said) == {"AttributeError in a callback: no such thing"}
    executor.shutdown()


def test_a_spinner_ends_when_the_context_does(node):
    spinner = BackgroundExecutor(node)
    rclpy.shutdown(context=node.context)
    wait_until(lambda: not spinner._thread.is_alive(), "the thread to end")
    spinner.stop()


def test_background_work_ends_with_its_owner(node):
    work = BackgroundWork(node)
    entered, leave = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert leave.wait(30)
        return "done"

    future, dropped = work.run(slow), work.run(lambda: pytest.fail("was to be dropped"))
    assert entered.wait(30)
    threading.Timer(0.05, leave.set).start()
    work.close()
    assert future.result() == "done"
    assert not dropped.done()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("background_work")]
