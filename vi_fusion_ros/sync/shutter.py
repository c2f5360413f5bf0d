"""How often and how long a thermal camera shows no scene: the shutter of a non-uniformity correction (NUC, FFC).

Cameras either show the inside of the shutter, or repeat the last image until it is open again. Free of ROS and clocks.
"""

from __future__ import annotations

import threading

FREEZE_S = 0.25
"""How long an image has to be the same: a 9 Hz camera whose driver repeats images does it for 0.11 s."""

_GAP_S = 0.5  # between two looks; more is a camera that was unplugged or a node that took no images


class ShutterEvents:
    """Counts closures; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._count, self._total_s, self._seen_s = 0, 0.0, 0.0

    def look(self, closed_since_s: float | None, now_s: float) -> None:
        """Take note of a look at the images.

        Args:
            closed_since_s: when the closure that goes on began, on the clock of ``now_s``; None: the scene is seen.
            now_s: time of this look, seconds.
        """
        with self._lock:
            if self._closed:
                self._total_s += min(max(now_s - self._seen_s, 0.0), _GAP_S)
            elif closed_since_s is not None:
                self._count += 1
                self._total_s += max(now_s - closed_since_s, 0.0)
            self._closed, self._seen_s = closed_since_s is not None, now_s

    def summary(self) -> tuple[int, float]:
        """How many closures there were, and how long they were closed together, seconds; with the one that goes on."""
        with self._lock:
            return self._count, self._total_s
