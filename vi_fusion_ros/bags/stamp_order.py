"""The order in which the images of two cameras were taken, whatever the order in which they were recorded.

Log times say when a message reached the recorder: transport delays one camera's images by hundreds of milliseconds, a
recorder that writes topic after topic by the length of the bag. So the stamps decide. Only where they step back, as in
a bag that loops, is there another time to begin with, and each camera's times are matched with the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.sync.health import CAMERAS, Camera

T = TypeVar("T")
Integers = npt.NDArray[np.int64]

_REORDERING_NS = 100_000_000  # as in the pairing: a smaller step back is disorder
_STEP_NS = 2_000_000_000  # a smaller step back of one camera alone is its clock being set


class Seen(NamedTuple):
    """One message of a bag, without its image.

    Attributes:
        camera: that it comes from.
        log_ns: when it was recorded, nanoseconds.
        stamp_ns: its stamp with the camera's time offset; None where it has none or cannot be read.
    """

    camera: Camera
    log_ns: int
    stamp_ns: int | None


def ranks_by_stamp(seen: Sequence[Seen]) -> Integers:
    """The place of each message in the order of stamps, (N,) from 0.

    A message without a stamp keeps its place behind the one that its camera recorded before it.
    """
    cameras = np.array([CAMERAS.index(message.camera) for message in seen], np.int64)
    logs = np.array([message.log_ns for message in seen], np.int64)
    stamps, epochs = np.zeros(len(seen), np.int64), np.zeros(len(seen), np.int64)
    for camera in range(len(CAMERAS)):
        of = np.flatnonzero(cameras == camera)
        stamps[of] = _filled([seen[index].stamp_ns for index in of])
        epochs[of] = _epochs(stamps[of])
    times = _common_times(cameras, logs, stamps, epochs)
    order = np.lexsort((stamps, *times[::-1]))
    ranks = np.empty(len(seen), np.int64)
    ranks[order] = np.arange(len(seen))
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


def by_rank(items: Iterable[T], ranks: Sequence[int] | Integers) -> Iterator[tuple[int, T]]:
    """Items with their ranks, in that order; each leaves as soon as all before it have come.

    Args:
        items: in another order; where they end early, those that wait leave in order.
        ranks: of the items as they come; a rank that no item has is not waited for.
    """
    expected = iter(sorted(int(rank) for rank in ranks))
    waiting: dict[int, T] = {}
    next_rank = next(expected, None)
    for item, rank in zip(items, ranks, strict=False):
        waiting[int(rank)] = item
        while next_rank in waiting:
            yield next_rank, waiting.pop(next_rank)
            next_rank = next(expected, None)
    for rank in sorted(waiting):
        yield rank, waiting[rank]


def _filled(stamps: Sequence[int | None]) -> Integers:
    """Each missing stamp replaced by the one before it, or by the first there is."""
    last = next((stamp for stamp in stamps if stamp is not None), 0)
    filled = []
    for stamp in stamps:
        last = last if stamp is None else stamp
        filled.append(last)
    return np.array(filled, np.int64)


def _epochs(stamps: Integers) -> Integers:
    """How often the stamps of one camera have stepped back by more than disorder, for each of them."""
    if len(stamps) < 2:
        return np.zeros(len(stamps), np.int64)
    gaps = np.diff(stamps)
    forward = gaps[gaps > 0]
    disorder_ns = max(_REORDERING_NS, 2 * int(np.median(forward)) if len(forward) else 0)
    epochs, epoch, newest = [], 0, int(stamps[0])
    for stamp in stamps.tolist():
        if newest - stamp > disorder_ns:
            epoch, newest = epoch + 1, stamp
        newest = max(newest, stamp)
        epochs.append(epoch)
    return np.array(epochs, np.int64)


def _common_times(
    cameras: Integers, logs: Integers, stamps: Integers, epochs: Integers
) -> tuple[Integers, Integers]:
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
        elif newest - first_stamp > _STEP_NS:
            part += 1  # it starts over while the other camera goes on: another time, without a partner
        time, newest = best, int(stamps[of].max())
        times[of], parts[of] = time, part
    return times, parts
