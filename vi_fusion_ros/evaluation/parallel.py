"""One function over many items, in several processes or on a cluster, with a progress bar."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

Item = TypeVar("Item")
Value = TypeVar("Value")

Carrier = Callable[[Callable[[Any], Any], Sequence[Any], str, int], list[Any]]
"""Called with function, items, title and chunk; gives the values in the order of the items."""

_CARRIER: ContextVar[Carrier | None] = ContextVar("carrier", default=None)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 1 << 28


def map_in_order(
    function: Callable[[Item], Value], items: Sequence[Item], jobs: int, title: str, chunk: int = 1
) -> list[Value]:
    """``[function(item) for item in items]`` in ``jobs`` processes.

    Args:
        function: can be pickled; an exception that it raises ends the whole and is raised here.
        items: can be pickled.
        jobs: number of processes; 1 works in this one. A cluster has its own.
        title: of the progress bar, which shows only on a terminal.
        chunk: items sent to a process at a time.

    Raises:
        OSError: if a process was killed (most often for memory).
    """
    if not items:
        return []
    carrier = _CARRIER.get()
    if carrier is not None:
        return carrier(function, items, title, chunk)
    if jobs == 1 or len(items) == 1:
        return [function(item) for item in tqdm(items, title, unit="frame", disable=None)]
    # A forked child inherits the locks of the parent's threads (OpenCV, ONNX Runtime) in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(items)), context, prepare_worker) as pool:
        try:
            return list(tqdm(pool.map(function, items, chunksize=chunk), title, len(items), unit="frame", disable=None))
        except BrokenProcessPool as error:
            raise OSError(f"a process died at {title}; memory may be short: try fewer --jobs") from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def carried_out_by(carrier: Carrier) -> Iterator[None]:
    """Have ``map_in_order`` leave its work to ``carrier`` within the block."""
    token = _CARRIER.set(carrier)
    try:
        yield
    finally:
        _CARRIER.reset(token)


def prepare_worker() -> None:
    """Set a worker process up; again and again does no harm."""
    cv2.setNumThreads(1)
    # By default glibc returns each freed image to the system, and page faults then take as long as the arithmetic.
    with contextlib.suppress(OSError, AttributeError):  # other C libraries lack it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
