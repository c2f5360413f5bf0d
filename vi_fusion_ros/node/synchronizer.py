"""Pairing by message_filters' rules, and any pairing behind message_filters' interface."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from vi_fusion_ros.node.messages import stamp_ns, to_time
from vi_fusion_ros.sync.pairing import Drop, NearestPairing, Pair, Pairing, PairingPolicy
from vi_fusion_ros.sync.stamps import JUMP_NS
from vi_fusion_ros.types import CAMERAS, OTHER, Camera


class Logger(Protocol):
    """What is used of an rclpy logger; a ``logging.Logger`` will do too."""

    def error(self, message: str, /) -> Any:
        """Report one sentence."""


class Synchronizer:
    """A pairing behind message_filters' ``SimpleFilter``, without needing it: thread-safe, with callbacks.

    Items are anything with a ``header.stamp``, such as sensor_msgs/Image. Callbacks are called as
    ``callback(visible, thermal, skew_ns, sync_wait_ns, *args)``, one pair at a time in the order of the pairs, outside
    the lock, on a thread that adds or polls. What a callback raises is logged and counted, never passed on.

    The fusion node does without it: it pairs on one thread.

    Args:
        pairing: the policy.
        logger: takes a sentence about each exception of a callback.
        clock: monotonic, nanoseconds.
        filters: the visible and the thermal input, such as ``message_filters.Subscriber``; None where items come
            through ``add_visible`` and ``add_thermal``.
    """

    def __init__(
        self,
        pairing: Pairing[Any],
        logger: Logger,
        clock: Callable[[], int] = time.monotonic_ns,
        filters: Iterable[Any] | None = None,
    ) -> None:
        self.policy = pairing.policy
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.callback_errors = 0
        self._pairing, self._logger, self._clock = pairing, logger, clock
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
        if my_queue_index not in (0, 1):
            raise ValueError(f"pairing has input 0 (visible) and 1 (thermal), but an item came for {my_queue_index}")
        with self._lock:
            stamp = stamp_ns(item.header.stamp)
            self._outbox.extend(self._pairing.add(CAMERAS[my_queue_index], item, stamp, self._clock()))
        self._deliver()

    def add_visible(self, item: Any) -> None:
        """Take a visible item; deliver the pairs that it settles."""
        self.add(item, None, 0)

    def add_thermal(self, item: Any) -> None:
        """Take a thermal item; deliver the pairs that it settles."""
        self.add(item, None, 1)

    def poll(self) -> int | None:
        """Deliver the pairs whose wait is over; return when to poll again on ``clock``, None: after the next item."""
        with self._lock:
            self._outbox.extend(self._pairing.poll(self._clock()))
        self._deliver()
        return self.next_deadline_ns

    @property
    def next_deadline_ns(self) -> int | None:
        """When ``poll`` has something to do, on ``clock``, nanoseconds; None: not before the next item."""
        with self._lock:
            return self._pairing.next_deadline_ns()

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        with self._lock:
            return self._pairing.pairs

    @property
    def drops(self) -> dict[str, int]:
        """Items that were not used, by reason (``vi_fusion_ros.sync.pairing.Drop``)."""
        with self._lock:
            return {reason.value: count for reason, count in self._pairing.drops.items()}

    @property
    def time_resets(self) -> int:
        """Backward jumps of the stamps."""
        with self._lock:
            return self._pairing.time_resets

    @property
    def pending(self) -> int:
        """Items held or about to be delivered, both inputs together."""
        with self._lock:
            return self._pairing.pending + 2 * len(self._outbox)

    def reset(self) -> None:
        """Drop what is held, counted as ``time_reset``; the counts stay."""
        with self._lock:
            self._pairing.reset()

    def flush(self) -> None:
        """Deliver the pairs that are possible now and drop the rest of what is held."""
        with self._lock:
            self._outbox.extend(self._pairing.flush(self._clock()))
        self._deliver()

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


class MessageFiltersPairing:
    """Policies ``approximate`` and ``exact``: message_filters' own synchronizers, with what they lack around them.

    That is: time offsets, no callback inside message_filters' lock (an exception there would leave it locked for ever),
    the count of what its full queues drop (its only reason), and empty queues after stamps have jumped back.
    ``max_wait`` has no meaning here: message_filters takes the first partner. Not thread-safe.

    Args:
        policy: bounds and offsets.
        exact: only equal stamps.

    Raises:
        ValueError: message_filters is not installed.
    """

    def __init__(self, policy: PairingPolicy, exact: bool) -> None:
        try:
            import message_filters
        except ImportError:
            raise ValueError(
                f"pairing.policy {'exact' if exact else 'approximate'} needs message_filters: "
                "install ros-$ROS_DISTRO-message-filters with apt, or use the policy nearest"
            ) from None
        sources = [message_filters.SimpleFilter() for _ in CAMERAS]
        if exact:
            self._filter = message_filters.TimeSynchronizer(sources, policy.queue_size)
        else:
            slop_s = policy.max_skew_ns / 1e9
            self._filter = message_filters.ApproximateTimeSynchronizer(sources, policy.queue_size, slop_s)
        self._filter.registerCallback(self._on_match)
        self.policy = policy
        self.pairs = self.time_resets = 0
        self._sources = dict(zip(CAMERAS, sources, strict=True))
        self._queues = dict(zip(CAMERAS, self._filter.queues, strict=True))
        self._offsets_ns: dict[Camera, int] = {"visible": policy.visible_offset_ns, "thermal": policy.thermal_offset_ns}
        self._matched: list[Pair[Any]] = []
        self._now_ns = 0
        self._received = self._reset_drops = 0
        self._newest_ns: dict[Camera, int | None] = dict.fromkeys(CAMERAS)
        self._lagging: Camera | None = None

    @property
    def drops(self) -> dict[Drop, int]:
        """Items that were not used, by reason: ``queue_full`` or ``time_reset``."""
        gone = self._received - 2 * self.pairs - self.pending
        return {Drop.queue_full: gone - self._reset_drops, Drop.time_reset: self._reset_drops}

    @property
    def pending(self) -> int:
        """Items held, both cameras together."""
        return sum(map(len, self._filter.queues))

    def add(self, camera: Camera, item: Any, stamp: int, now_ns: int) -> list[Pair[Any]]:
        """Take an item; return the pair that it makes."""
        stamp += self._offsets_ns[camera]
        self._received += 1
        self._follow_time(camera, stamp)
        self._now_ns = now_ns
        self._sources[camera].signalMessage(_Envelope(item, stamp, now_ns))
        matched, self._matched = self._matched, []
        return matched

    def note(self, camera: Camera, stamp: int, now_ns: int) -> list[Pair[Any]]:
        """Take the stamp of an item that is used without a partner, so that a jump of its stamps is seen."""
        del now_ns  # nothing is settled by a jump
        self._follow_time(camera, stamp + self._offsets_ns[camera])
        return []

    def poll(self, now_ns: int) -> list[Pair[Any]]:
        """Nothing: message_filters waits for no better partner."""
        del now_ns
        return []

    def next_deadline_ns(self) -> int | None:
        """None, for the same reason."""
        return None

    def flush(self, now_ns: int) -> list[Pair[Any]]:
        """Drop what is held: what could be paired has been."""
        del now_ns
        self.reset()
        return []

    def reset(self) -> None:
        """Drop what is held, counted as ``time_reset``; the counts stay."""
        for camera in CAMERAS:
            self._drop(camera)
        self._newest_ns = dict.fromkeys(CAMERAS)
        self._lagging = None

    def _drop(self, camera: Camera) -> None:
        self._reset_drops += len(self._queues[camera])
        self._queues[camera].clear()

    def _follow_time(self, camera: Camera, stamp: int) -> None:
        newest = self._newest_ns[camera]
        if newest is not None and newest - stamp > JUMP_NS:
            if self._lagging == camera:  # the other camera's jump has been counted, and this is the same one
                self._lagging = None
                self._drop(camera)
            else:
                self._reset_for_jump(camera)
            newest = None
        self._newest_ns[camera] = stamp if newest is None else max(newest, stamp)

    def _reset_for_jump(self, camera: Camera) -> None:
        """``camera`` has jumped back: drop what is held; the same jump of the other one is not counted again."""
        other = OTHER[camera]
        other_ns = self._newest_ns[other]
        self.reset()
        self.time_resets += 1
        self._newest_ns[other] = other_ns
        self._lagging = None if other_ns is None else other

    def _on_match(self, visible: _Envelope, thermal: _Envelope) -> None:
        self.pairs += 1
        waited = self._now_ns - min(visible.arrival_ns, thermal.arrival_ns)
        skew = thermal.stamp_ns - visible.stamp_ns
        self._matched.append(Pair(visible.item, thermal.item, skew, waited, self.time_resets))


def pairing_policy(settings: Mapping[str, Any], rig_offset_ns: int) -> PairingPolicy:
    """The bounds and offsets of the node's parameters.

    Args:
        settings: parameters by name.
        rig_offset_ns: from the rig file, added to the thermal stamps besides the parameter.
    """
    return PairingPolicy(
        max_skew_ns=round(settings["pairing.max_skew"] * 1e9),
        max_wait_ns=round(settings["pairing.max_wait"] * 1e9),
        visible_offset_ns=round(settings["visible.time_offset"] * 1e9),
        thermal_offset_ns=round(settings["thermal.time_offset"] * 1e9) + rig_offset_ns,
        queue_size=settings["pairing.queue_size"],
    )


def make_pairing(name: str, policy: PairingPolicy) -> Pairing[Any]:
    """The pairing of a policy.

    Args:
        name: ``nearest``, ``approximate`` or ``exact``.
        policy: bounds and offsets.

    Raises:
        ValueError: an unknown name, or message_filters is needed and not installed.
    """
    if name == "nearest":
        return NearestPairing(policy)
    if name in ("approximate", "exact"):
        return MessageFiltersPairing(policy, exact=name == "exact")
    raise ValueError(f"pairing.policy is nearest, approximate or exact, not '{name}'")


def make_synchronizer(
    name: str,
    policy: PairingPolicy,
    logger: Logger,
    clock: Callable[[], int] = time.monotonic_ns,
    filters: Iterable[Any] | None = None,
) -> Synchronizer:
    """The pairing of a policy behind message_filters' interface; arguments as of ``make_pairing``, ``Synchronizer``.

    Raises:
        ValueError: an unknown name, or message_filters is needed and not installed.
    """
    return Synchronizer(make_pairing(name, policy), logger, clock, filters)
