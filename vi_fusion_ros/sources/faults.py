"""A plan of camera faults: which one happens when, drawn from a seed. Free of ROS; player_node carries it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

FAULT_KINDS = (
    "black", "burst", "clock_jump", "drop", "freeze", "garbage", "jitter", "loop", "saturate", "shutter", "unplug",
)  # fmt: skip

DISABLING = frozenset({"black", "freeze", "garbage", "saturate", "shutter", "unplug"})
"""Kinds that leave nothing usable of a stream."""

SHIFT_S = {"clock_jump": 3600.0, "loop": -4.99}
"""How far the stamps are off while one of these lasts, seconds; they hit both cameras, which share a clock."""


@dataclass(frozen=True)
class PlannedFault:
    """One fault.

    Attributes:
        kind: one of ``FAULT_KINDS``.
        cameras: that it hits.
        start_s: from the start of the streams, seconds.
        end_s: the same.
    """

    kind: str
    cameras: tuple[str, ...]
    start_s: float
    end_s: float

    def hits(self, camera: str, time_s: float) -> bool:
        """Whether it acts on a frame of ``camera`` that is taken at ``time_s``."""
        return camera in self.cameras and self.start_s <= time_s < self.end_s


class FaultPlan:
    """Faults one after the other with healthy time between them; each kind once before any comes again.

    Args:
        kinds: of ``FAULT_KINDS``.
        seed: of their order, of the cameras they hit and of their lengths.
        length_s: mean length of a fault, seconds, and of the time between two; each is within a quarter of it.

    Raises:
        ValueError: an unknown kind, or none.
    """

    def __init__(self, kinds: Sequence[str], seed: int, length_s: float) -> None:
        unknown = sorted(set(kinds) - set(FAULT_KINDS))
        if unknown or not kinds:
            raise ValueError(
                f"faults: {', '.join(unknown) or 'none'}; expected some of {', '.join(FAULT_KINDS)}, or 'all'"
            )
        self._faults = _draw(sorted(set(kinds)), seed, length_s)
        self._now = next(self._faults)

    def at(self, time_s: float) -> PlannedFault | None:
        """The fault at a time that never goes back, seconds from the start; None in healthy time."""
        while time_s >= self._now.end_s:
            self._now = next(self._faults)
        return self._now if time_s >= self._now.start_s else None


def _draw(kinds: list[str], seed: int, length_s: float) -> Iterator[PlannedFault]:
    random = np.random.default_rng(seed)
    time_s = 0.0
    while True:
        for kind in random.permutation(kinds):
            start = time_s + length_s * random.uniform(0.75, 1.25)
            time_s = start + length_s * random.uniform(0.75, 1.25)
            choice = ("visible", "thermal"), ("visible",), ("thermal",)
            cameras = choice[0] if kind in SHIFT_S else choice[random.choice(3, p=(0.2, 0.4, 0.4))]
            yield PlannedFault(str(kind), cameras, start, time_s)
