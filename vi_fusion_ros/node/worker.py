"""One thread that works on the newest items and never builds a backlog."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """A thread with a newest-wins queue of bounded depth.

    Between items it calls ``poll``, so that whatever waits on a deadline (pairing) needs no timer of its own: nobody
    else could use a pair while this thread is busy anyway.

    Args:
        handle: called with each item, on the worker's thread.
        poll: called before each wait; returns the monotonic time at which it wants to be called again, nanoseconds, or
            None for when ``wake`` or ``submit`` is called.
        on_error: called with any exception that ``handle`` or ``poll`` lets through; the thread goes on.
        depth: how many items may wait.
        on_drop: called with each item that is not handled, inside the queue's lock.
    """

    def __init__(
        self,
        handle: Callable[[T], None],
        poll: Callable[[], int | None],
        on_error: Callable[[Exception], None],
        depth: int,
        on_drop: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._handle, self._poll, self._on_error, self._on_drop = handle, poll, on_error, on_drop
        self._queue: deque[T] = deque()
        self._condition = threading.Condition()
        self._awake = True
        self._stopping = False
        self._depth = depth
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="fusion_worker", daemon=True)

    @property
    def depth(self) -> int:
        """How many items may wait; a smaller value takes effect with the next item."""
        return self._depth

    @depth.setter
    def depth(self, depth: int) -> None:
        with self._condition:
            self._depth = depth

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def native_id(self) -> int:
        """The started thread, as the kernel calls it."""
        return self._thread.native_id or 0

    def submit(self, item: T) -> None:
        """Queue an item; the oldest ones beyond the depth are dropped and counted in ``dropped``."""
        with self._condition:
            self._queue.append(item)
            self._drop_down_to(self._depth)
            self._awake = True
            self._condition.notify()

    def wake(self) -> None:
        """Have ``poll`` called again: its deadline may have changed."""
        with self._condition:
            self._awake = True
            self._condition.notify()

    def stop(self) -> None:
        """Finish the item in hand, drop the others and end the thread."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        with self._condition:
            self._drop_down_to(0)

    def _drop_down_to(self, depth: int) -> None:
        while len(self._queue) > depth:
            self._on_drop(self._queue.popleft())
            self.dropped += 1

    def _run(self) -> None:
        while True:
            with self._condition:
                self._awake = False
            deadline = self._guarded(self._poll)
            with self._condition:
                if not (self._queue or self._awake or self._stopping):
                    self._condition.wait(_seconds_until(deadline))
                if self._stopping:
                    return
                item = self._queue.popleft() if self._queue else None
            if item is not None:
                self._guarded(partial(self._handle, item))

    def _guarded(self, call: Callable[[], int | None] | Callable[[], None]) -> int | None:
        try:
            return call()
        except Exception as error:  # a worker that dies would silence the node
            self._on_error(error)
            return None


def _seconds_until(deadline_ns: int | None) -> float | None:
    return None if deadline_ns is None else max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
