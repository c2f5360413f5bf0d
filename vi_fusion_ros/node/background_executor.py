"""A node that is spun by a thread beside the one that works, and let go of without a race."""

from __future__ import annotations

import threading

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

_LOOK_EVERY_S = 0.1


class Spinner:
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
                self._executor.spin_once(timeout_sec=_LOOK_EVERY_S)
            except ExternalShutdownException:
                return
            except Exception as error:  # of a callback: the others go on
                self._node.get_logger().error(f"{type(error).__name__} in a callback: {error}")
