"""What can be wrong with stamps: zero, standing still, stepping back, and off between the cameras."""

from __future__ import annotations

import statistics
from collections import deque

from vi_fusion_ros.types import CAMERAS, OTHER, Camera

JUMP_NS = 100_000_000
"""A step back of stamps smaller than this is reordering by the transport; a larger one, a jump of time."""

_LATEST = 30  # images of each camera that the offset is estimated from
_NEEDED = 5
_STEADY_NS = 200_000_000  # arrivals that scatter more than this around their stamps say nothing of an offset
_MOST_GAPS = 4096


class StampClock:
    """A clock that goes by the stamps up to which both cameras have been heard.

    How fast and how evenly messages arrive, and how far one camera runs ahead, makes no difference to it.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._newest_ns: dict[Camera, int] = {}
        self._heard_ns: int | None = None

    def at(self, camera: Camera, stamp_ns: int) -> int:
        """The time when a message of this stamp arrives, nanoseconds; never before an earlier one's."""
        newest_ns = self._newest_ns.get(camera, stamp_ns)
        jumped_back = newest_ns - stamp_ns > JUMP_NS
        self._newest_ns[camera] = stamp_ns if jumped_back else max(newest_ns, stamp_ns)
        if len(self._newest_ns) == len(CAMERAS):
            heard_ns = min(self._newest_ns.values())
            if self._heard_ns is not None:
                self.now_ns += max(0, heard_ns - self._heard_ns)
            self._heard_ns = heard_ns
        return self.now_ns


class StampTrack:
    """The stamps of one camera in the order of arrival, in bounded memory.

    Attributes:
        count: stamps taken.
        steps_back: how often a stamp was below the one before it.
    """

    def __init__(self) -> None:
        self.count = self.steps_back = 0
        self._last_ns = 0
        self._gaps: list[int] = []
        self._every, self._passed = 1, 0

    def take(self, stamp_ns: int) -> None:
        """Take the next stamp, nanoseconds."""
        if self.count:
            gap = stamp_ns - self._last_ns
            self.steps_back += gap < 0
            if gap > 0:
                self._keep(gap)
        self.count += 1
        self._last_ns = stamp_ns

    @property
    def rate_hz(self) -> float | None:
        """One over the median gap; None before there are two stamps that rise."""
        return 1e9 / statistics.median(self._gaps) if self._gaps else None

    def _keep(self, gap_ns: int) -> None:
        """Every n-th gap, n doubling with the stream, whose length nobody knows beforehand."""
        if self._passed % self._every == 0:
            self._gaps.append(gap_ns)
            if len(self._gaps) == _MOST_GAPS:
                self._gaps = self._gaps[::2]
                self._every *= 2
        self._passed += 1


class StampMonitor:
    """Compares the latest stamps of both cameras with the times of their arrival. Not thread-safe."""

    def __init__(self) -> None:
        self._latest: dict[Camera, deque[tuple[int, int]]] = {camera: deque(maxlen=_LATEST) for camera in CAMERAS}

    def take(self, camera: Camera, stamp_ns: int, arrival_ns: int) -> None:
        """Take the next image's stamp and the monotonic time of its arrival, nanoseconds."""
        self._latest[camera].append((stamp_ns, arrival_ns))

    def standing(self, camera: Camera) -> bool:
        """Whether the stamps of a camera stand still."""
        stamps = {stamp for stamp, _ in self._latest[camera]}
        return len(self._latest[camera]) >= _NEEDED and len(stamps) == 1

    def thermal_behind_s(self) -> float | None:
        """How far thermal stamps, as received, are behind visible ones when they arrive, seconds.

        None where that is not constant, or not known yet.
        """
        visible, thermal = self._latest["visible"], self._latest["thermal"]
        if min(len(visible), len(thermal)) < _NEEDED:
            return None
        # Images that arrive together: where stamps and clock drift apart, as in a bag that is played slowly, they do
        # so for both.
        behind = []
        for stamp, arrival in thermal:
            other_stamp, other_arrival = min(visible, key=lambda other: abs(other[1] - arrival))
            behind.append((arrival - stamp) - (other_arrival - other_stamp))
        return None if _scatter(behind) > _STEADY_NS else statistics.median(behind) / 1e9

    def rate_hz(self, camera: Camera) -> float:
        """Images a second, by their arrivals; 0 where it is not known."""
        arrivals = [arrival for _, arrival in self._latest[camera]]
        span = arrivals[-1] - arrivals[0] if arrivals else 0
        return (len(arrivals) - 1) * 1e9 / span if span > 0 else 0.0


def _scatter(values: list[int]) -> int:
    """Between the 10 % and the 90 % quantile."""
    ordered = sorted(values)
    cut = len(ordered) // 10
    return ordered[-1 - cut] - ordered[cut]


def describe_offset(behind_s: float, needed_s: float, most_s: float, queue_size: int) -> str:
    """One sentence about an offset that keeps images from being paired, and what to do.

    Args:
        behind_s: how far thermal stamps are behind visible ones when they arrive, after the offsets; negative: ahead.
        needed_s: ``thermal.time_offset`` that would even it out.
        most_s: the largest that the parameter takes.
        queue_size: ``pairing.queue_size`` that would hold the images until their partners come, if these are delayed.
    """
    camera: Camera = "thermal" if behind_s > 0 else "visible"
    behind = f"the {camera} stamps are {_duration(abs(behind_s))} behind the {OTHER[camera]} ones when they arrive"
    if abs(needed_s) > most_s:
        return f"{behind}: the cameras' drivers stamp by different clocks; let both stamp by one"
    return (
        f"{behind}: if the clocks differ, set thermal.time_offset to {needed_s:.3f}; if the {camera} images are "
        f"delayed, set pairing.queue_size to {queue_size}"
    )


def _duration(seconds: float) -> str:
    if seconds < 1000:
        return f"{seconds:.3f} s"
    years = seconds / (365.25 * 86400)
    return f"{seconds:.0f} s" + (f" ({years:.1f} years)" if years > 1 else "")
