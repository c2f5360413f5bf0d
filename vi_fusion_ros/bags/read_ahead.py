"""What an iterator gives, made by a thread ahead of who takes it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Outcome = tuple[Any, BaseException | None]


class ReadAhead(Iterator[T]):
    """The items of a generator, in order; what it raises is raised here, in its turn.

    It may be dropped half read, and collected anywhere: the thread is told to end and is not waited for. To join a
    thread in the garbage collector can wait for ever, for the collector runs in the middle of whatever allocates, with
    the locks that this holds, and a thread that gives work to others needs some of them.

    Args:
        items: used, and closed, by the thread alone.
        depth: how many items are made before they are asked for.
    """

    def __init__(self, items: Generator[T, None, None], depth: int) -> None:
        # Simple queues: they alone may be filled in the garbage collector.
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._made: SimpleQueue[_Outcome] = SimpleQueue()
        for _ in range(depth):
            self._wanted.put(True)
        # It does not know this object, and a process does not wait for it.
        threading.Thread(target=_make, args=(items, self._wanted, self._made), name="read_ahead", daemon=True).start()

    def __next__(self) -> T:
        item, error = self._made.get()
        if error is not None:
            self._made.put((None, error))  # for whoever asks again
            raise error
        self._wanted.put(True)
        return item

    def __del__(self) -> None:
        self._wanted.put(False)


def _make(items: Generator[Any, None, None], wanted: SimpleQueue[bool], made: SimpleQueue[_Outcome]) -> None:
    with closing(items):
        while wanted.get():
            try:
                made.put((next(items), None))
            except BaseException as error:
                made.put((None, error))
                return
