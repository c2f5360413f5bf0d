"""Work that takes long, off the executor: images are taken meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.task import Future


class BackgroundWork:
    """One thread, one piece of work at a time.

    Args:
        node: whose callbacks wait for the work.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background_work")

    def run(self, work: Callable[[], Any]) -> Any:
        """Start the work, and return what a callback that is a coroutine awaits: its result, or what it raises.

        The callback needs a ``ReentrantCallbackGroup``: a mutually exclusive one runs nothing else while it waits.
        """
        done: Any = Future()  # generic from Kilted on
        self._pool.submit(self._do, work, done)
        return done

    def close(self) -> None:
        """Finish the work in hand, drop what waits, and end the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, work: Callable[[], Any], done: Any) -> None:
        settle: Callable[[], None]
        try:
            settle = partial(done.set_result, work())
        except Exception as error:  # it is raised where the work is awaited
            settle = partial(done.set_exception, error)
        executor = self._node.executor
        if executor is None:
            settle()
        else:
            executor.create_task(settle)  # wakes the executor, which looks at what waits for this
