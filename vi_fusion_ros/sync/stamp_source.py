"""Where the stamp of an image comes from: its header, its arrival, or its header brought to the arrivals' clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from vi_fusion_ros.sync.stamps import JUMP_NS
from vi_fusion_ros.types import CAMERAS, Camera

STAMP_SOURCES = ("header", "arrival", "estimated")

_BUCKET_NS = 500_000_000
_BUCKETS = 120  # a minute: drift of 100 ppm makes 6 ms in that time, which is what a line has to follow
_LEAST_SPAN_NS = 10_000_000_000  # of less, jitter of the arrivals would pass for drift
_MOST_DRIFT = 500e-6  # quartz is within 100 ppm, a bad one within 200
_STEP_NS = 100_000_000  # a camera's clock that is off by more than this has been set
_PATIENCE_NS = 3_000_000_000  # images that are late for so long are not delayed: the clock was set back


class StampEstimator:
    """Brings the stamps of a camera's own clock to the clock of the arrivals, by the images that were delayed least.

    An arrival is the time of the stamp plus an unknown offset plus a delay, which is never negative and, now and then,
    small. So the line below all differences of arrival and stamp that lies closest to them says offset and drift; its
    support are the images that came straight through (Moon, Skelly and Towsley, Estimation and removal of clock skew
    from network delay measurements, INFOCOM 1999). What remains in the result is the least delay, which is constant:
    ``time_offset`` takes it off.

    The stamps may count from any epoch: uptime, TAI, GPS. A clock that starts over or is set is begun with anew.
    Results never step back while stamps and arrivals rise. In bounded memory; not thread-safe.
    """

    def __init__(self) -> None:
        self._given_ns: int | None = None
        self._last: tuple[int, int] | None = None
        self._late_since_ns: int | None = None
        self._restart()

    @property
    def drift(self) -> float:
        """How much faster the arrivals' clock runs than the camera's, as a share; 0 while it is not known."""
        return self._slope

    def take(self, stamp_ns: int, arrival_ns: int) -> int:
        """The stamp of the next image on the clock of the arrivals, nanoseconds.

        Args:
            stamp_ns: on the camera's clock.
            arrival_ns: of the image, on the clock that the result is to be on.
        """
        if self._last is not None:
            last_stamp, last_arrival = self._last
            if arrival_ns < last_arrival - JUMP_NS:  # time itself starts over, as in a bag that loops
                self._given_ns = None
                self._restart()
            elif stamp_ns < last_stamp - JUMP_NS:
                self._restart()
        self._note(stamp_ns, arrival_ns - stamp_ns)
        estimate = min(stamp_ns + self._offset_at(stamp_ns), arrival_ns)
        rises = self._last is None or stamp_ns >= self._last[0]
        if rises and self._given_ns is not None:  # images out of order keep their places
            estimate = max(estimate, self._given_ns)
        self._last = stamp_ns, arrival_ns
        self._given_ns = estimate if self._given_ns is None else max(self._given_ns, estimate)
        return estimate

    def _restart(self) -> None:
        self._last = None
        self._lowest: deque[tuple[int, int]] = deque(maxlen=_BUCKETS)  # stamp and difference, of each half second
        self._bucket = 0
        self._slope = 0.0
        self._through = (0, 0)
        self._late_since_ns = None

    def _note(self, stamp_ns: int, difference_ns: int) -> None:
        late_ns = difference_ns - self._offset_at(stamp_ns) if self._lowest else 0
        if late_ns <= _STEP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = stamp_ns
        set_back = self._late_since_ns is not None and stamp_ns - self._late_since_ns > _PATIENCE_NS
        if set_back or late_ns < -_STEP_NS:
            self._restart()
        bucket = stamp_ns // _BUCKET_NS
        if not self._lowest or bucket > self._bucket:
            self._bucket = bucket
            self._lowest.append((stamp_ns, difference_ns))
            self._fit()
        elif difference_ns - self._lowest[-1][1] < self._slope * (stamp_ns - self._lowest[-1][0]):
            self._lowest[-1] = (stamp_ns, difference_ns)
            if difference_ns < self._offset_at(stamp_ns):
                self._fit()

    def _offset_at(self, stamp_ns: int) -> int:
        at, offset = self._through
        return offset + round(self._slope * (stamp_ns - at))

    def _fit(self) -> None:
        """The line below all points whose distances sum up to the least: the edge of their lower hull at their mean."""
        points = list(self._lowest)
        if points[-1][0] - points[0][0] < _LEAST_SPAN_NS:
            self._slope = 0.0
        else:
            mean = sum(stamp for stamp, _ in points) / len(points)
            hull = _lower_hull(points)
            right = next(index for index in range(1, len(hull)) if hull[index][0] >= mean)
            (x0, y0), (x1, y1) = hull[right - 1], hull[right]
            self._slope = min(max((y1 - y0) / (x1 - x0), -_MOST_DRIFT), _MOST_DRIFT)
        # Where the slope is another one than the edge's, the line still has to lie below them all.
        at = points[-1][0]
        self._through = at, min(offset - round(self._slope * (stamp - at)) for stamp, offset in points)


class StampSource:
    """The stamps of one camera's images. Not thread-safe.

    Args:
        kind: one of ``STAMP_SOURCES``.

    Raises:
        ValueError: it is none of them.
    """

    def __init__(self, kind: str) -> None:
        if kind not in STAMP_SOURCES:
            raise ValueError(f"stamp_source is '{kind}'; expected {', '.join(STAMP_SOURCES)}")
        self.kind = kind
        self._estimator = StampEstimator()

    def stamp(self, header_ns: int, arrival_ns: int) -> int:
        """The stamp of the next image, nanoseconds; 0 where it has none.

        Args:
            header_ns: of its header; 0: it was not set.
            arrival_ns: when it arrived, on the clock of other stamps: ROS time, or the log time of a bag.
        """
        if self.kind == "arrival":
            return arrival_ns
        if self.kind == "header" or header_ns == 0:
            return header_ns
        return self._estimator.take(header_ns, arrival_ns)


def stamp_sources(settings: Mapping[str, Any]) -> dict[Camera, StampSource]:
    """Fresh ones, by the parameters ``CAMERA.stamp_source``."""
    return {camera: StampSource(str(settings[f"{camera}.stamp_source"])) for camera in CAMERAS}


def _lower_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of points with rising first coordinate (Andrew's monotone chain)."""
    hull: list[tuple[int, int]] = []
    for point in points:
        while len(hull) > 1 and _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns_right(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])
