"""Spinning that nothing ends but its owner, also in a thread beside the one that works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.node import Node

from vi_fusion_ros.errors import one_line, sentence

LOOK_EVERY_S = 0.1
"""How soon a thread that spins sees that it is to stop."""
_PAUSE_S = 0.1


def spin_once(
    executor: SingleThreadedExecutor, report: Callable[[str], object], wait_s: float | None = LOOK_EVERY_S
) -> None:
    """Serve one callback, or return after ``wait_s``. What a callback raises is reported.

    What the executor itself raises is reported too, and followed by a pause: it would raise the same again at once, and
    the loop around this would take a whole core and fill the log.

    Args:
        executor: with its nodes.
        report: takes one sentence; must not raise.
        wait_s: None: for ever. rclpy makes a timer for any other wait, which takes a third of a round's time.

    Raises:
        ExternalShutdownException: the context was shut down.
    """
    try:
        handler, _, _ = executor.wait_for_ready_callbacks(wait_s)
    except (TimeoutException, ShutdownException):
        return
    except ExternalShutdownException:
        raise
    except Exception as error:
        report(f"the executor failed: {sentence(error)}")
        time.sleep(_PAUSE_S)
        return
    handler()
    raised = handler.exception()
    if isinstance(raised, ExternalShutdownException):
        raise raised
    if raised is not None:
        report(f"{type(raised).__name__} in a callback: {one_line(raised)}")


class BackgroundExecutor:
    """Spins a node in a thread until ``stop``.

    ``Executor.shutdown`` under a thread in ``Executor.spin`` can take away what would wake that thread, which then
    waits for ever (rclpy, seen on a busy machine). So the thread leaves first, by itself.

    Args:
        node: to spin.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="spinner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when no callback runs any more."""
        self._done.set()
        self._thread.join()  # before the interpreter goes: its end under a spinning thread aborts the process
        self._executor.shutdown()

    def _spin(self) -> None:
        while not self._done.is_set():
            try:
                spin_once(self._executor, self._node.get_logger().error)
            except ExternalShutdownException:
                return
