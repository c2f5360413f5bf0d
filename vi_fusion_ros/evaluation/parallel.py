"""One function over many items, in several processes or on a cluster, with a progress bar."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

from vi_fusion_ros.evaluation import unfinished
from vi_fusion_ros.evaluation.kept_values import KeptValues

Item = TypeVar("Item")
Value = TypeVar("Value")

Carrier = Callable[[Callable[[Any], Any], Sequence[Any], str, int], Iterator[tuple[int, Any]]]
"""Called with function, items, title and chunk; gives the place of each item and its value, in any order."""

_CARRIER: ContextVar[Carrier | None] = ContextVar("carrier", default=None)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 1 << 28
_PR_SET_PDEATHSIG = 1  # sys/prctl.h


def map_in_order(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    jobs: int,
    title: str,
    chunk: int = 1,
    kept: KeptValues | None = None,
) -> list[Value]:
    """``[function(item) for item in items]`` in ``jobs`` processes.

    Within ``unfinished.kept_in`` each value is on disk as soon as it is there, and none is computed that already is.

    Args:
        function: can be pickled; an exception that it raises ends the whole and is raised here.
        items: can be pickled.
        jobs: number of processes; 1 works in this one. A cluster has its own.
        title: of the progress bar, which shows only on a terminal.
        chunk: items sent to a process at a time.
        kept: holds the values by the items' places, those of an earlier call among them; None: that of ``kept_in``.

    Raises:
        OSError: if a process was killed (most often for memory).
    """
    if not items:
        return []
    folder = unfinished.current()
    with contextlib.ExitStack() as stack:
        if kept is None and folder is not None:
            kept = stack.enter_context(contextlib.closing(folder.next_values(title)))
            if kept.values:
                folder.say(f"{title}: {len(kept.values)} of {len(items)} were computed by a call that did not end")
        stack.enter_context(unfinished.kept_in(None))  # what ``function`` maps in turn is a part of its one value
        values = {} if kept is None else kept.values
        left = [place for place in range(len(items)) if place not in values]
        for at, value in (_CARRIER.get() or _locally(jobs))(function, [items[n] for n in left], title, chunk):
            values[left[at]] = value
            if kept is not None:
                kept.add(left[at], value)
    return [values[place] for place in range(len(items))]


def _locally(jobs: int) -> Carrier:
    def carry(
        function: Callable[[Any], Any], items: Sequence[Any], title: str, chunk: int
    ) -> Iterator[tuple[int, Any]]:
        bar = partial(tqdm, desc=title, total=len(items), unit="frame", disable=None)
        if jobs == 1 or len(items) <= 1:
            yield from enumerate(function(item) for item in bar(items))
            return
        # A forked child inherits the locks of the parent's threads (OpenCV, ONNX Runtime) in whatever state they are.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(items)), context, _begin_worker, (os.getpid(),)) as pool:
            try:
                yield from enumerate(bar(pool.map(function, items, chunksize=chunk)))
            except BrokenProcessPool as error:
                raise OSError(f"a process died at {title}; memory may be short: try fewer --jobs") from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    return carry


@contextlib.contextmanager
def carried_out_by(carrier: Carrier) -> Iterator[None]:
    """Have ``map_in_order`` leave its work to ``carrier`` within the block."""
    token = _CARRIER.set(carrier)
    try:
        yield
    finally:
        _CARRIER.reset(token)


def _begin_worker(parent: int) -> None:
    """Set a worker up that ends with the process that started it, even where that one is killed."""
    prepare_worker()
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before it could be told
        os._exit(1)


def prepare_worker() -> None:
    """Set a worker process up; again and again does no harm."""
    cv2.setNumThreads(1)
    # By default glibc returns each freed image to the system, and page faults then take as long as the arithmetic.
    with contextlib.suppress(OSError, AttributeError):  # other C libraries lack it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
