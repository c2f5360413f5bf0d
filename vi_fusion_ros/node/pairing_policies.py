"""The pairing that the parameters ask for: this package's own, or message_filters' rules behind the same interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.sync.pairing import Drop, NearestPairing, Pair, Pairing, PairingPolicy
from vi_fusion_ros.sync.stamps import JUMP_NS
from vi_fusion_ros.types import CAMERAS, OTHER, Camera


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
