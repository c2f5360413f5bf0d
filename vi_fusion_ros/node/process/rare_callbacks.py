"""A callback group for what may wait a second: QoS events, of which a node has far more than images.

rclpy's executors make a wait set of all that their nodes have for every message. Of the fusion node's, two of three are
QoS events, which are the dearest of them, and tell of something that a person has to mend. Nothing of them is lost: the
middleware keeps an event until it is taken. docs/performance.md has what this is worth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

PERIOD_S = 1.0
OPEN_S = 0.15
"""Longer than an executor of this package waits: one of its rounds begins and ends in it, however quiet the node is."""


class RareCallbacks(MutuallyExclusiveCallbackGroup):
    """Lets its entities into the wait set for ``OPEN_S`` once in ``PERIOD_S``.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._opened_s = -math.inf

    def can_execute(self, entity: Any) -> bool:
        """As ``CallbackGroup``."""
        now_s = self._clock()
        if now_s - self._opened_s >= PERIOD_S:
            self._opened_s = now_s
        return now_s - self._opened_s < OPEN_S and bool(super().can_execute(entity))

    def take_over(self, waitables: Iterable[Any]) -> None:
        """Have waitables that another group was made for, such as the events of a subscription, wait like these."""
        for waitable in waitables:
            waitable.callback_group = self
            self.add_entity(waitable)
