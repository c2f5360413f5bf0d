"""The order in which the images of two cameras were taken, whatever the order in which they were recorded.

Log times say when a message reached the recorder: transport delays one camera's images by hundreds of milliseconds, a
recorder that writes topic after topic by the length of the bag. So the stamps decide. Only where they step back, as in
a bag that loops, is there another time to begin with, and each camera's times are matched with the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.sync.health import CAMERAS

T = TypeVar("T")
Integers = npt.NDArray[np.int64]

NO_STAMP = np.iinfo(np.int64).min
"""In place of a stamp."""

_REORDERING_NS = 100_000_000  # as in the pairing: a smaller step back is disorder
_STEP_NS = 2_000_000_000  # a smaller step back of one camera alone is its clock being set


def ranks_by_stamp(cameras: Integers, logs_ns: Integers, stamps_ns: Integers) -> Integers:
    """The place of each message in the order of stamps.

    A message without a stamp keeps its place behind the one that its camera recorded before it.

    Args:
        cameras: (N,) index into ``CAMERAS``.
        logs_ns: (N,) when each was recorded, nanoseconds.
        stamps_ns: (N,) with the cameras' time offsets; ``NO_STAMP`` where a message has none or cannot be read.

    Returns:
        (N,) from 0.
    """
    stamps, epochs = np.empty_like(stamps_ns), np.zeros_like(stamps_ns)
    for camera in range(len(CAMERAS)):
        of = np.flatnonzero(cameras == camera)
        stamps[of] = _filled(stamps_ns[of])
        epochs[of] = _epochs(stamps[of])
    times, parts = _common_times(cameras, logs_ns, stamps, epochs)
    ranks = np.empty_like(stamps)
    ranks[np.lexsort((stamps, parts, times))] = np.arange(len(stamps))
    return ranks


def most_held(ranks: Integers) -> int:
    """How many messages wait at most where they come in one order and leave by their ranks."""
    if not len(ranks):
        return 0
    position = np.empty(len(ranks), np.int64)
    position[ranks] = np.arange(len(ranks))
    leaves_at = np.maximum.accumulate(position)  # when the last one that has to leave before it has come
    left = np.searchsorted(leaves_at, np.arange(len(ranks)), side="right")
    return int((np.arange(1, len(ranks) + 1) - left).max())


def by_rank(items: Iterable[T], ranks: Integers) -> Iterator[tuple[int, T]]:
    """Items with their ranks, in that order; each leaves as soon as all before it have come.

    Args:
        items: in another order; where they end early, those that wait leave in order.
        ranks: (N,) of the items as they come; a rank that no item has is not waited for.
    """
    expected, left = np.sort(ranks), 0
    waiting: dict[int, T] = {}
    for item, rank in zip(items, ranks, strict=False):
        waiting[int(rank)] = item
        while waiting and int(expected[left]) in waiting:
            yield int(expected[left]), waiting.pop(int(expected[left]))
            left += 1
    for rank in sorted(waiting):
        yield rank, waiting[rank]


def _filled(stamps: Integers) -> Integers:
    """Each missing stamp replaced by the one before it, or by the first there is; 0 where there is none."""
    known = np.flatnonzero(stamps != NO_STAMP)
    if not len(known):
        return np.zeros_like(stamps)
    before = np.searchsorted(known, np.arange(len(stamps)), side="right") - 1
    return np.asarray(stamps[known[np.maximum(before, 0)]])


def _epochs(stamps: Integers) -> Integers:
    """How often the stamps of one camera have stepped back by more than disorder, for each of them."""
    epochs = np.zeros_like(stamps)
    gaps = np.diff(stamps)
    forward = gaps[gaps > 0]
    disorder_ns = max(_REORDERING_NS, 2 * int(np.median(forward)) if len(forward) else 0)
    if len(np.unique(stamps)) == len(stamps):  # a bag that loops has stamps twice
        disorder_ns = max(disorder_ns, _STEP_NS)
    if not (gaps < 0).any():
        return epochs
    epoch, newest = 0, int(stamps[0])
    for index, stamp in enumerate(map(int, stamps)):
        if newest - stamp > disorder_ns:
            epoch, newest = epoch + 1, stamp
        newest = max(newest, stamp)
        epochs[index] = epoch
    return epochs


def _common_times(cameras: Integers, logs: Integers, stamps: Integers, epochs: Integers) -> tuple[Integers, Integers]:
    """Two keys, the first of which decides, that say which times of both cameras are one."""
    counts = [int(epochs[cameras == camera].max(initial=-1)) + 1 for camera in range(len(CAMERAS))]
    times, parts = epochs.copy(), np.zeros(len(epochs), np.int64)
    if counts[0] == counts[1] or not min(counts):
        return times, parts
    fewer = int(np.argmin(counts))
    of_fewer = [(cameras == fewer) & (epochs == epoch) for epoch in range(counts[fewer])]
    lasts = [(int(logs[of].min()), int(logs[of].max())) for of in of_fewer]
    time, part, newest = 0, 0, None
    for epoch in range(counts[1 - fewer]):
        of = (cameras != fewer) & (epochs == epoch)
        begin, end = int(logs[of].min()), int(logs[of].max())
        # The time that goes on while it is recorded, never one before the last.
        overlaps = [min(end, last) - max(begin, first) for first, last in lasts]
        best = max(range(time, counts[fewer]), key=lambda index: overlaps[index])
        first_stamp = int(stamps[of][0])
        if newest is None or best > time:
            part = 0
        elif newest - first_stamp > _STEP_NS or overlaps[best] < 0:
            part += 1  # it starts over while the other camera goes on or is silent: another time, without a partner
        time, newest = best, int(stamps[of].max())
        times[of], parts[of] = time, part
    return times, parts
