"""Stamps to pairs: each frame with the nearest one of the other camera, and a reason for each frame left over.

Pure and single-threaded; no clock, no ROS. docs/pairing.md explains the rules and what was measured.
"""

from __future__ import annotations

import enum
import statistics
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from vi_fusion_ros.sync.stamps import JUMP_NS
from vi_fusion_ros.types import Camera

T = TypeVar("T")

_GAPS = 30  # stamp gaps that a stream's period and jitter are estimated from: one second at 30 Hz
_GAPS_NEEDED = 3  # before the shortest of them is believed
_SAME_RATE = 1.5  # two periods whose ratio is below this are one rate


class Drop(str, enum.Enum):
    """Why a frame was not used. One reason per frame.

    Attributes:
        no_partner: no frame of the other camera was at hand when it came or arrived while it was held.
        too_far: the other camera sent frames, but none free within ``max_skew``.
        late: it is not newer than a frame of its own camera that has left in a pair already.
        superseded: a frame of the other camera near it (``max_skew``, or 3/4 of that camera's period where that is
            more) was paired with another frame. Every surplus frame of the faster camera ends here.
        queue_full: ``queue_size`` newer frames of its camera came while a partner was still possible.
        time_reset: stamps jumped back, or ``reset()`` was called, while it was held; or its camera had not jumped yet.
    """

    no_partner = "no_partner"
    too_far = "too_far"
    late = "late"
    superseded = "superseded"
    queue_full = "queue_full"
    time_reset = "time_reset"


@dataclass(frozen=True)
class PairingPolicy:
    """What may be paired, and how long to wait. Times in nanoseconds.

    Attributes:
        max_skew_ns: largest difference of corrected stamps within a pair, inclusive.
        max_wait_ns: longest time a possible pair is held for a better one, from when both its frames are there.
        visible_offset_ns: added to the visible stamps before they are compared.
        thermal_offset_ns: the same for the thermal stamps.
        queue_size: frames of each camera that may be held.

    Raises:
        ValueError: a negative time, or a queue of less than one frame.
    """

    max_skew_ns: int
    max_wait_ns: int
    visible_offset_ns: int = 0
    thermal_offset_ns: int = 0
    queue_size: int = 10

    def __post_init__(self) -> None:
        if self.max_skew_ns < 0 or self.max_wait_ns < 0:
            raise ValueError(
                "pairing: max_skew and max_wait must not be negative, "
                f"but are {self.max_skew_ns} and {self.max_wait_ns} ns"
            )
        if self.queue_size < 1:
            raise ValueError(f"pairing: queue_size must be at least 1, but is {self.queue_size}")


@dataclass(frozen=True)
class Pair(Generic[T]):
    """Two items of one moment.

    Attributes:
        visible: as added.
        thermal: as added.
        skew_ns: thermal minus visible stamp after the offsets, nanoseconds.
        sync_wait_ns: from the arrival of the first of the two to the release of the pair, nanoseconds.
        time_resets: how often stamps had jumped back before the two were taken; nothing of before a jump may smooth
            what comes after it.
    """

    visible: T
    thermal: T
    skew_ns: int
    sync_wait_ns: int
    time_resets: int = 0


@dataclass(frozen=True, eq=False)
class _Held(Generic[T]):
    item: T
    stamp_ns: int  # corrected
    arrival_ns: int
    others_before: int  # frames of the other camera received before this one
    other_at_hand: bool  # whether one of them was held then


class _Stream(Generic[T]):
    """One camera: the frames held, in stamp order, and what its stamps say of its rate."""

    def __init__(self, offset_ns: int) -> None:
        self.offset_ns = offset_ns
        self.received = 0
        self.restart()

    def restart(self) -> None:
        """Forget all stamps, for time has jumped; ``held`` must have been emptied by the caller."""
        self.held: list[_Held[T]] = []
        self.newest_ns: int | None = None
        self.last_used_ns: int | None = None
        self.used_ns: deque[int] = deque(maxlen=32)
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self.period_ns: int | None = None
        self.shortest_gap_ns = 0  # 0: the next frame may come at any time

    def note(self, stamp_ns: int) -> None:
        """Take a stamp into the estimates of the rate."""
        if self.newest_ns is None:
            self.newest_ns = stamp_ns
        elif stamp_ns > self.newest_ns:
            self._gaps.append(stamp_ns - self.newest_ns)
            self.newest_ns = stamp_ns
            self.period_ns = int(statistics.median(self._gaps))
            if len(self._gaps) >= _GAPS_NEEDED:
                self.shortest_gap_ns = min(self._gaps)

    @property
    def jitter_ns(self) -> int:
        """How much earlier than usual a frame has come lately."""
        return self.period_ns - self.shortest_gap_ns if self.period_ns and self.shortest_gap_ns else 0

    def jumped_back(self, stamp_ns: int) -> bool:
        tolerance = max(JUMP_NS, 2 * (self.period_ns or 0))
        return self.newest_ns is not None and self.newest_ns - stamp_ns > tolerance

    def use(self, frame: _Held[T]) -> None:
        """Book a frame that leaves in a pair."""
        self.last_used_ns = frame.stamp_ns
        self.used_ns.append(frame.stamp_ns)

    def used_near(self, stamp_ns: int, max_skew_ns: int) -> bool:
        """Whether a frame near a stamp of the other camera was used for a pair."""
        reach = max(max_skew_ns, 3 * (self.period_ns or 0) // 4)
        return any(abs(used - stamp_ns) <= reach for used in self.used_ns)


class Pairing(Protocol[T]):
    """What every policy of pairing is: ``NearestPairing`` below, and those of message_filters in ``node/``.

    Attributes:
        policy: bounds and offsets.
        pairs: pairs formed.
        drops: items that were not used, by reason.
        time_resets: backward jumps of the stamps.
    """

    policy: PairingPolicy

    @property
    def pairs(self) -> int: ...  # noqa: D102

    @property
    def drops(self) -> dict[Drop, int]: ...  # noqa: D102

    @property
    def time_resets(self) -> int: ...  # noqa: D102

    @property
    def pending(self) -> int: ...  # noqa: D102

    def add(self, camera: Camera, item: T, stamp_ns: int, now_ns: int) -> list[Pair[T]]: ...  # noqa: D102

    def note(self, camera: Camera, stamp_ns: int, now_ns: int) -> list[Pair[T]]: ...  # noqa: D102

    def poll(self, now_ns: int) -> list[Pair[T]]: ...  # noqa: D102

    def next_deadline_ns(self) -> int | None: ...  # noqa: D102

    def flush(self, now_ns: int) -> list[Pair[T]]: ...  # noqa: D102

    def reset(self) -> None: ...  # noqa: D102


class NearestPairing(Generic[T]):
    """Pairs the frames of two cameras by nearest stamp.

    Among the frames held, the pairs are those of a non-crossing matching that pairs as many frames as it can and then
    has the least sum of skews. So a frame of the slower camera gets its nearest partner unless another frame is nearer
    to that one. A pair leaves as soon as no nearer partner can come: the camera of its earlier frame has sent a frame
    at or past the later one, or the shortest of its recent periods says that its next frame will not be nearer; at
    the latest when ``max_wait`` is over. Pairs leave in the order of their stamps.

    ``now_ns`` is any monotonic clock, the same in every call. At every moment
    ``received == 2 * pairs + sum(drops.values()) + pending``.

    Args:
        policy: bounds and offsets.
    """

    def __init__(self, policy: PairingPolicy) -> None:
        self.policy = policy
        self.pairs = 0
        self.drops: dict[Drop, int] = dict.fromkeys(Drop, 0)
        self.time_resets = 0
        self._visible: _Stream[T] = _Stream(policy.visible_offset_ns)
        self._thermal: _Stream[T] = _Stream(policy.thermal_offset_ns)
        # After a jump back: the camera that has not jumped yet, and what the other one still holds for it.
        self._lagging: _Stream[T] | None = None
        self._leftovers: list[_Held[T]] = []

    @property
    def received(self) -> int:
        """Frames added, both cameras together."""
        return self._visible.received + self._thermal.received

    @property
    def pending(self) -> int:
        """Frames held, both cameras together."""
        return len(self._visible.held) + len(self._thermal.held) + len(self._leftovers)

    def add(self, camera: Camera, item: T, stamp_ns: int, now_ns: int) -> list[Pair[T]]:
        """Take a frame; return the pairs that it settles, oldest first."""
        return self._add(*self._streams_of(camera), item, stamp_ns, now_ns)

    def add_visible(self, item: T, stamp_ns: int, now_ns: int) -> list[Pair[T]]:
        """Take a visible frame; return the pairs that it settles, oldest first."""
        return self.add("visible", item, stamp_ns, now_ns)

    def add_thermal(self, item: T, stamp_ns: int, now_ns: int) -> list[Pair[T]]:
        """Take a thermal frame; return the pairs that it settles, oldest first."""
        return self.add("thermal", item, stamp_ns, now_ns)

    def note(self, camera: Camera, stamp_ns: int, now_ns: int) -> list[Pair[T]]:
        """Take the stamp of a frame that is used without a partner, so that a jump of its stamps is seen.

        Returns:
            The pairs that a jump settles; the frame itself is in none, and is not counted as received.
        """
        stream, other = self._streams_of(camera)
        stamp_ns += stream.offset_ns
        pairs: list[Pair[T]] = []
        if stream is self._lagging:
            if self._joins(stream, other, stamp_ns):
                self._join(stream)
        elif stream.jumped_back(stamp_ns):
            pairs = self._jump_back(stream, other, now_ns)
        stream.note(stamp_ns)
        return pairs

    def poll(self, now_ns: int) -> list[Pair[T]]:
        """Return the pairs whose wait is over, oldest first."""
        return self._settle(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has something to return if no frame comes before, on the clock of ``now_ns``; None: never."""
        # Pairs leave in order, so the oldest one's deadline is the one that counts.
        return next((self._deadline(v, t) for v, t in self._matching()), None)

    def flush(self, now_ns: int) -> list[Pair[T]]:
        """End of the streams: return every pair that is possible and drop the rest, each with its reason."""
        pairs = self._settle(now_ns, everything=True)
        self._drop_leftovers()
        for stream, other in self._both():
            while stream.held:
                self._drop(stream.held.pop(0), other)
        return pairs

    def reset(self) -> None:
        """Forget the frames held (counted as ``time_reset``) and what was learnt of the rates; the counts stay."""
        self._drop_leftovers()
        self._lagging = None
        for stream, _ in self._both():
            self.drops[Drop.time_reset] += len(stream.held)
            stream.restart()

    def _streams_of(self, camera: Camera) -> tuple[_Stream[T], _Stream[T]]:
        """The camera's stream and the other one."""
        return (self._visible, self._thermal) if camera == "visible" else (self._thermal, self._visible)

    def _both(self) -> tuple[tuple[_Stream[T], _Stream[T]], ...]:
        return (self._visible, self._thermal), (self._thermal, self._visible)

    def _add(self, stream: _Stream[T], other: _Stream[T], item: T, stamp_ns: int, now_ns: int) -> list[Pair[T]]:
        stamp_ns += stream.offset_ns
        frame = _Held(item, stamp_ns, now_ns, other.received, bool(other.held))
        stream.received += 1
        pairs: list[Pair[T]] = []
        if stream is self._lagging:
            if not self._joins(stream, other, stamp_ns):
                return self._pair_leftover(stream, frame, now_ns)
            self._join(stream)
        elif stream.jumped_back(stamp_ns):
            pairs = self._jump_back(stream, other, now_ns)
        if stream.last_used_ns is not None and stamp_ns <= stream.last_used_ns:
            self.drops[Drop.late] += 1
            return pairs
        stream.note(stamp_ns)
        stream.held.insert(bisect_right(stream.held, stamp_ns, key=_stamp), frame)
        pairs += self._settle(now_ns)
        if len(stream.held) > self.policy.queue_size:
            pairs += self._make_room(stream, other, now_ns)
        return pairs

    # --- matching ---

    def _settle(self, now_ns: int, everything: bool = False) -> list[Pair[T]]:
        """Release the pairs that nothing can improve or whose wait is over; drop what cannot be paired any more."""
        pairs = []
        for visible, thermal in self._matching():
            if not (everything or self._is_final(visible, thermal) or now_ns >= self._deadline(visible, thermal)):
                break
            pairs.append(self._release(visible, thermal, now_ns))
        if self._lagging is None:
            for stream, other in self._both():
                self._prune(stream, other)
        return pairs

    def _matching(self) -> list[tuple[_Held[T], _Held[T]]]:
        if not (self._visible.held and self._thermal.held):
            return []
        return _match(
            self._visible.held,
            self._thermal.held,
            self.policy.max_skew_ns,
            self._value_of_newest(self._visible, self._thermal),
            self._value_of_newest(self._thermal, self._visible),
        )

    def _value_of_newest(self, stream: _Stream[T], other: _Stream[T]) -> int:
        """What leaving the newest frame for the other camera's next one is worth, nanoseconds of skew.

        At equal rates and half a period of phase, jitter decides which neighbour is nearer; following it would lose a
        frame at each change of mind, for a gain that is noise. So an earlier partner is kept unless the later one is
        nearer by more than the jitter. At different rates there are frames to spare, and it is worth nothing.
        """
        if not stream.period_ns or not other.period_ns or other.newest_ns is None or stream.newest_ns is None:
            return 0
        shorter, longer = sorted((stream.period_ns, other.period_ns))
        expected_skew = abs(other.newest_ns + other.period_ns - stream.newest_ns)
        if longer >= _SAME_RATE * shorter or expected_skew > self.policy.max_skew_ns:
            return 0
        return min(stream.jitter_ns + other.jitter_ns, shorter // 4)

    def _is_final(self, visible: _Held[T], thermal: _Held[T]) -> bool:
        """Whether no frame to come can be a nearer partner, streams being in stamp order."""
        if visible.stamp_ns <= thermal.stamp_ns:
            early, late, stream, other = visible, thermal, self._visible, self._thermal
        else:
            early, late, stream, other = thermal, visible, self._thermal, self._visible
        assert stream.newest_ns is not None  # it holds ``early``
        if stream.newest_ns >= late.stamp_ns:
            return True
        skew = late.stamp_ns - early.stamp_ns
        return 2 * skew <= stream.shortest_gap_ns + self._value_of_newest(stream, other)

    def _deadline(self, visible: _Held[T], thermal: _Held[T]) -> int:
        return max(visible.arrival_ns, thermal.arrival_ns) + self.policy.max_wait_ns

    def _release(self, visible: _Held[T], thermal: _Held[T], now_ns: int) -> Pair[T]:
        self._visible.use(visible)
        self._thermal.use(thermal)
        for stream, other, frame in ((self._visible, self._thermal, visible), (self._thermal, self._visible, thermal)):
            while (skipped := stream.held.pop(0)) is not frame:
                self._drop(skipped, other)
        return self._paired(visible, thermal, now_ns, self.time_resets)

    def _paired(self, visible: _Held[T], thermal: _Held[T], now_ns: int, time_resets: int) -> Pair[T]:
        self.pairs += 1
        waited = now_ns - min(visible.arrival_ns, thermal.arrival_ns)
        return Pair(visible.item, thermal.item, thermal.stamp_ns - visible.stamp_ns, waited, time_resets)

    # --- frames that are not used ---

    def _prune(self, stream: _Stream[T], other: _Stream[T]) -> None:
        """Drop the frames that the other camera has passed."""
        max_skew = self.policy.max_skew_ns
        while stream.held and other.newest_ns is not None:
            frame = stream.held[0]
            passed = other.newest_ns > frame.stamp_ns + max_skew
            if not passed or any(abs(held.stamp_ns - frame.stamp_ns) <= max_skew for held in other.held):
                return
            self._drop(stream.held.pop(0), other)

    def _make_room(self, stream: _Stream[T], other: _Stream[T], now_ns: int) -> list[Pair[T]]:
        """The oldest frame has to go: with its partner, if it has one."""
        oldest = stream.held[0]
        for visible, thermal in self._matching()[:1]:
            if oldest in (visible, thermal):
                return [self._release(visible, thermal, now_ns)]
        self._drop(stream.held.pop(0), other, Drop.queue_full)
        return []

    def _drop(self, frame: _Held[T], other: _Stream[T], otherwise: Drop = Drop.too_far) -> None:
        if other.used_near(frame.stamp_ns, self.policy.max_skew_ns):
            reason = Drop.superseded
        elif frame.other_at_hand or other.received > frame.others_before:
            reason = otherwise
        else:
            reason = Drop.no_partner
        self.drops[reason] += 1

    # --- jumps of time ---

    def _jump_back(self, stream: _Stream[T], other: _Stream[T], now_ns: int) -> list[Pair[T]]:
        """``stream`` starts over; the other camera's last frames from before the jump may still be on their way."""
        self._drop_leftovers()
        pairs: list[Pair[T]] = []
        if self._lagging is None:
            pairs = self._settle(now_ns, everything=True)
            self._leftovers = stream.held
            self.drops[Drop.time_reset] += len(other.held)
            other.held = []
        else:  # it has jumped twice while the other camera was silent
            self.drops[Drop.time_reset] += len(stream.held)
        self.time_resets += 1  # what has been settled is of the time before
        stream.restart()
        if other.newest_ns is None:
            self._drop_leftovers()
        else:
            self._lagging = other
        return pairs

    def _join(self, lagging: _Stream[T]) -> None:
        """The other camera has jumped too."""
        self._drop_leftovers()
        self._lagging = None
        lagging.restart()

    def _joins(self, lagging: _Stream[T], leading: _Stream[T], stamp_ns: int) -> bool:
        """Whether a frame of the camera that has not jumped yet belongs to the time after the jump."""
        assert lagging.newest_ns is not None
        assert leading.newest_ns is not None  # both as _jump_back left them
        from_new_time = abs(stamp_ns - leading.newest_ns)
        return from_new_time <= max(self.policy.max_skew_ns, abs(stamp_ns - lagging.newest_ns))

    def _pair_leftover(self, lagging: _Stream[T], frame: _Held[T], now_ns: int) -> list[Pair[T]]:
        """Pair a frame from before the jump at once: the other camera sends no nearer one any more."""
        lagging.newest_ns = frame.stamp_ns
        nearest = min(self._leftovers, key=lambda held: abs(held.stamp_ns - frame.stamp_ns), default=None)
        if nearest is None or abs(nearest.stamp_ns - frame.stamp_ns) > self.policy.max_skew_ns:
            self.drops[Drop.time_reset] += 1
            return []
        index = self._leftovers.index(nearest)
        self.drops[Drop.time_reset] += index
        del self._leftovers[: index + 1]
        visible, thermal = (frame, nearest) if lagging is self._visible else (nearest, frame)
        return [self._paired(visible, thermal, now_ns, self.time_resets - 1)]

    def _drop_leftovers(self) -> None:
        self.drops[Drop.time_reset] += len(self._leftovers)
        self._leftovers = []


def _stamp(frame: _Held[T]) -> int:
    return frame.stamp_ns


def _match(
    a: list[_Held[T]], b: list[_Held[T]], max_skew_ns: int, value_of_last_a: int, value_of_last_b: int
) -> list[tuple[_Held[T], _Held[T]]]:
    """The non-crossing matching of two lists in stamp order with the most pairs, then the least sum of skews.

    Each pair is worth ``pair_value - skew``, always positive; a last frame left free after all pairs is worth
    ``value_of_last_…``, which is less than any pair. Dynamic programming over suffixes, O(len(a) · len(b)).
    """
    pair_value = max_skew_ns + max(value_of_last_a, value_of_last_b) + 1
    best = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a)):
        best[i][-1] = value_of_last_a
    for j in range(len(b)):
        best[-1][j] = value_of_last_b

    def value(i: int, j: int) -> int | None:
        skew = abs(a[i].stamp_ns - b[j].stamp_ns)
        return None if skew > max_skew_ns else pair_value - skew + best[i + 1][j + 1]

    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], value(i, j) or 0)

    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if value(i, j) == best[i][j]:
            pairs.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif best[i + 1][j] == best[i][j]:
            i += 1
        else:
            j += 1
    return pairs
