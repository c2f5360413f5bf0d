"""Pairing behind message_filters' interface: thread-safe, callbacks outside every lock, errors in them counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from vi_fusion_ros.node.messages import stamp_ns, to_time
from vi_fusion_ros.sync.pairing import Drop, NearestPairing, Pair, PairingPolicy

VISIBLE, THERMAL = 0, 1  # positions among the inputs, as message_filters counts them


class Logger(Protocol):
    """What is used of an rclpy logger; a ``logging.Logger`` will do too."""

    def error(self, message: str, /) -> Any:
        """Report one sentence."""


class Synchronizer:
    """What the policies share: message_filters' ``SimpleFilter``, without needing it, and the delivery of pairs.

    Items are anything with a ``header.stamp``, such as sensor_msgs/Image. Callbacks are called as
    ``callback(visible, thermal, skew_ns, sync_wait_ns, *args)``, one pair at a time in the order of the pairs, outside
    the lock, on a thread that adds or polls. What a callback raises is logged and counted, never passed on.

    Args:
        policy: bounds and offsets.
        logger: takes a sentence about each exception of a callback.
        clock: monotonic, nanoseconds.
        filters: the visible and the thermal input, such as ``message_filters.Subscriber``; None where items come
            through ``add_visible`` and ``add_thermal``.
    """

    def __init__(
        self,
        policy: PairingPolicy,
        logger: Logger,
        clock: Callable[[], int] = time.monotonic_ns,
        filters: Iterable[Any] | None = None,
    ) -> None:
        self.policy = policy
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.callback_errors = 0
        self._logger, self._clock = logger, clock
        self._lock = threading.RLock()
        self._outbox: deque[Pair[Any]] = deque()
        self._delivering = False
        if filters is not None:
            self.connectInput(filters)

    def registerCallback(self, callback: Callable[..., Any], *args: Any) -> int:  # noqa: N802 - message_filters' name
        """Call ``callback`` with each pair; ``args`` are appended. Returns the connection's number."""
        with self._lock:
            connection = len(self.callbacks)
            self.callbacks[connection] = (callback, args)
            return connection

    def connectInput(self, filters: Iterable[Any]) -> None:  # noqa: N802 - message_filters' name
        """Take items from two filters, the visible one first.

        Raises:
            ValueError: not two filters.
        """
        inputs = list(filters)
        if len(inputs) != 2:
            raise ValueError(f"pairing takes two inputs, visible and thermal, but got {len(inputs)}")
        self.input_connections = [f.registerCallback(self.add, None, index) for index, f in enumerate(inputs)]

    def add(self, item: Any, my_queue: Any = None, my_queue_index: int | None = None) -> None:
        """Take an item of input ``my_queue_index``, 0 visible and 1 thermal; the call of message_filters.

        Raises:
            ValueError: another index.
        """
        del my_queue  # part of message_filters' call; the index says it all
        if my_queue_index not in (VISIBLE, THERMAL):
            raise ValueError(f"pairing has input 0 (visible) and 1 (thermal), but an item came for {my_queue_index}")
        with self._lock:
            self._outbox.extend(self._take(my_queue_index, item, stamp_ns(item.header.stamp), self._clock()))
        self._deliver()

    def add_visible(self, item: Any) -> None:
        """Take a visible item; deliver the pairs that it settles."""
        self.add(item, None, VISIBLE)

    def add_thermal(self, item: Any) -> None:
        """Take a thermal item; deliver the pairs that it settles."""
        self.add(item, None, THERMAL)

    def poll(self) -> int | None:
        """Deliver the pairs whose wait is over; return when to poll again on ``clock``, None: after the next item."""
        with self._lock:
            self._outbox.extend(self._expire(self._clock()))
        self._deliver()
        return self.next_deadline_ns

    @property
    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has something to do, on ``clock``, nanoseconds; None: not before the next item."""
        with self._lock:
            return self._next_deadline()

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        raise NotImplementedError

    @property
    def drops(self) -> dict[str, int]:
        """Items that were not used, by reason (``vi_fusion_ros.sync.pairing.Drop``)."""
        raise NotImplementedError

    @property
    def time_resets(self) -> int:
        """Backward jumps of the stamps."""
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """Items held or about to be delivered, both inputs together."""
        with self._lock:
            return self._held + 2 * len(self._outbox)

    def reset(self) -> None:
        """Drop what is held, counted as ``time_reset``; the counts stay."""
        raise NotImplementedError

    def flush(self) -> None:
        """Deliver the pairs that are possible now and drop the rest of what is held."""
        with self._lock:
            self._outbox.extend(self._empty(self._clock()))
        self._deliver()

    @property
    def _held(self) -> int:
        raise NotImplementedError

    def _empty(self, now_ns: int) -> list[Pair[Any]]:
        raise NotImplementedError

    def _take(self, index: int, item: Any, stamp: int, now_ns: int) -> list[Pair[Any]]:
        raise NotImplementedError

    def _expire(self, now_ns: int) -> list[Pair[Any]]:
        raise NotImplementedError

    def _next_deadline(self) -> int | None:
        raise NotImplementedError

    def _deliver(self) -> None:
        """Empty the outbox; a thread that finds another one at it leaves its pairs to that one, so order is kept."""
        while True:
            with self._lock:
                if self._delivering or not self._outbox:
                    return
                self._delivering = True
                pair = self._outbox.popleft()
                callbacks = list(self.callbacks.values())
            try:
                for callback, args in callbacks:
                    self._call(callback, pair, args)
            finally:
                with self._lock:
                    self._delivering = False

    def _call(self, callback: Callable[..., Any], pair: Pair[Any], args: tuple[Any, ...]) -> None:
        try:
            callback(pair.visible, pair.thermal, pair.skew_ns, pair.sync_wait_ns, *args)
        except Exception as error:
            with self._lock:
                self.callback_errors += 1
            name = getattr(callback, "__qualname__", repr(callback))
            self._logger.error(f"pairing: the callback {name} raised {type(error).__name__}: {error}")


class NearestSynchronizer(Synchronizer):
    """Policy ``nearest``: ``vi_fusion_ros.sync.pairing.NearestPairing``."""

    def __init__(
        self,
        policy: PairingPolicy,
        logger: Logger,
        clock: Callable[[], int] = time.monotonic_ns,
        filters: Iterable[Any] | None = None,
    ) -> None:
        self._pairing: NearestPairing[Any] = NearestPairing(policy)
        super().__init__(policy, logger, clock, filters)

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        with self._lock:
            return self._pairing.pairs

    @property
    def drops(self) -> dict[str, int]:
        """Items that were not used, by reason."""
        with self._lock:
            return {reason.value: count for reason, count in self._pairing.drops.items()}

    @property
    def time_resets(self) -> int:
        """Backward jumps of the stamps."""
        with self._lock:
            return self._pairing.time_resets

    def reset(self) -> None:
        """Drop what is held, counted as ``time_reset``; the counts stay."""
        with self._lock:
            self._pairing.reset()

    @property
    def _held(self) -> int:
        return self._pairing.pending

    def _empty(self, now_ns: int) -> list[Pair[Any]]:
        return self._pairing.flush(now_ns)

    def _take(self, index: int, item: Any, stamp: int, now_ns: int) -> list[Pair[Any]]:
        add = self._pairing.add_visible if index == VISIBLE else self._pairing.add_thermal
        return add(item, stamp, now_ns)

    def _expire(self, now_ns: int) -> list[Pair[Any]]:
        return self._pairing.poll(now_ns)

    def _next_deadline(self) -> int | None:
        return self._pairing.next_deadline_ns()


class _Header:
    __slots__ = ("stamp",)

    def __init__(self, stamp: Any) -> None:
        self.stamp = stamp


class _Envelope:
    """An item on its way through message_filters, under its corrected stamp."""

    __slots__ = ("arrival_ns", "header", "item", "stamp_ns")

    def __init__(self, item: Any, corrected_ns: int, arrival_ns: int) -> None:
        self.item, self.stamp_ns, self.arrival_ns = item, corrected_ns, arrival_ns
        self.header = _Header(to_time(corrected_ns))


class MessageFiltersSynchronizer(Synchronizer):
    """Policies ``approximate`` and ``exact``: message_filters' own synchronizers, with what they lack around them.

    That is: time offsets, callbacks outside message_filters' lock (an exception inside would leave it locked for ever),
    the count of what its full queues drop (its only reason), and empty queues after stamps have jumped back.
    ``max_wait`` has no meaning here: message_filters takes the first partner.

    Raises:
        ValueError: message_filters is not installed.
    """

    _JUMP_NS = 100_000_000  # a smaller step back is reordering

    def __init__(
        self,
        policy: PairingPolicy,
        logger: Logger,
        clock: Callable[[], int] = time.monotonic_ns,
        filters: Iterable[Any] | None = None,
        *,
        exact: bool = False,
    ) -> None:
        try:
            import message_filters
        except ImportError:
            raise ValueError(
                f"pairing.policy {'exact' if exact else 'approximate'} needs message_filters: "
                "install ros-$ROS_DISTRO-message-filters with apt, or use the policy nearest"
            ) from None
        self._sources = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
        if exact:
            self._filter = message_filters.TimeSynchronizer(self._sources, policy.queue_size)
        else:
            slop_s = policy.max_skew_ns / 1e9
            self._filter = message_filters.ApproximateTimeSynchronizer(self._sources, policy.queue_size, slop_s)
        self._filter.registerCallback(self._on_match)
        self._offsets_ns = (policy.visible_offset_ns, policy.thermal_offset_ns)
        self._matched: list[Pair[Any]] = []
        self._now_ns = 0
        self._received = self._pairs = self._time_resets = self._reset_drops = 0
        self._newest_ns: list[int | None] = [None, None]
        self._lagging: int | None = None
        super().__init__(policy, logger, clock, filters)

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        with self._lock:
            return self._pairs

    @property
    def drops(self) -> dict[str, int]:
        """Items that were not used, by reason: ``queue_full`` or ``time_reset``."""
        with self._lock:
            gone = self._received - 2 * self._pairs - self._held
            return {Drop.queue_full.value: gone - self._reset_drops, Drop.time_reset.value: self._reset_drops}

    @property
    def time_resets(self) -> int:
        """Backward jumps of the stamps."""
        with self._lock:
            return self._time_resets

    @property
    def _held(self) -> int:
        return sum(map(len, self._filter.queues))

    def reset(self) -> None:
        """Drop what is held, counted as ``time_reset``; the counts stay."""
        with self._lock:
            self._reset_drops += self._held
            for queue in self._filter.queues:
                queue.clear()
            self._newest_ns = [None, None]
            self._lagging = None

    def _empty(self, now_ns: int) -> list[Pair[Any]]:
        del now_ns  # what could be paired has been
        self.reset()
        return []

    def _take(self, index: int, item: Any, stamp: int, now_ns: int) -> list[Pair[Any]]:
        stamp += self._offsets_ns[index]
        self._received += 1
        self._follow_time(index, stamp)
        self._now_ns = now_ns
        self._sources[index].signalMessage(_Envelope(item, stamp, now_ns))
        matched, self._matched = self._matched, []
        return matched

    def _follow_time(self, index: int, stamp: int) -> None:
        newest = self._newest_ns[index]
        if newest is not None and newest - stamp > self._JUMP_NS:
            if self._lagging == index:  # the other camera's jump has been counted, and this is the same one
                self._lagging = None
                self._reset_drops += len(self._filter.queues[index])
                self._filter.queues[index].clear()
            else:
                self._reset_for_jump(index)
            newest = None
        self._newest_ns[index] = stamp if newest is None else max(newest, stamp)

    def _reset_for_jump(self, index: int) -> None:
        """Input ``index`` has jumped back: drop what is held; the same jump of the other input is not counted again."""
        other_ns = self._newest_ns[1 - index]
        self.reset()
        self._time_resets += 1
        self._newest_ns[1 - index] = other_ns
        self._lagging = None if other_ns is None else 1 - index

    def _on_match(self, visible: _Envelope, thermal: _Envelope) -> None:
        self._pairs += 1
        waited = self._now_ns - min(visible.arrival_ns, thermal.arrival_ns)
        self._matched.append(Pair(visible.item, thermal.item, thermal.stamp_ns - visible.stamp_ns, waited))

    def _expire(self, now_ns: int) -> list[Pair[Any]]:
        del now_ns  # nothing waits for a better partner
        return []

    def _next_deadline(self) -> int | None:
        return None


def make_synchronizer(
    name: str,
    policy: PairingPolicy,
    logger: Logger,
    clock: Callable[[], int] = time.monotonic_ns,
    filters: Iterable[Any] | None = None,
) -> Synchronizer:
    """The synchronizer of a policy.

    Args:
        name: ``nearest``, ``approximate`` or ``exact``.
        policy: bounds and offsets.
        logger: takes a sentence about each exception of a callback.
        clock: monotonic, nanoseconds.
        filters: as for ``Synchronizer``.

    Raises:
        ValueError: an unknown name, or message_filters is needed and not installed.
    """
    if name == "nearest":
        return NearestSynchronizer(policy, logger, clock, filters)
    if name in ("approximate", "exact"):
        return MessageFiltersSynchronizer(policy, logger, clock, filters, exact=name == "exact")
    raise ValueError(f"pairing.policy is nearest, approximate or exact, not '{name}'")
