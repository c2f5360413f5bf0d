"""Rates and latency percentiles over the latest events; what status, diagnostics and benchmarks report."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

STAGES = ("sync_wait", "queue", "decode", "register", "infer", "compose", "publish", "total")
"""The stages of a pair's way, in order. ``total`` runs from the arrival of the pair's later image to the end of
publishing; ``sync_wait`` runs from the arrival of its earlier image to the forming of the pair."""


class RateMeter:
    """Mean rate of events over a sliding window.

    Args:
        window_s: length of the window, seconds.
    """

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_ns = int(window_s * 1e9)
        self._times: deque[int] = deque()

    def tick(self, now_ns: int) -> None:
        """Count one event at ``now_ns`` on a monotonic clock."""
        self._times.append(now_ns)
        self._forget(now_ns)

    def rate(self, now_ns: int) -> float:
        """Events a second over the window, Hz; 0 with fewer than two events in it."""
        self._forget(now_ns)
        if len(self._times) < 2:
            return 0.0
        # Between the first and the last event, stretched to now once the next one is overdue: a stream that stops
        # fades instead of standing at its old rate.
        span = self._times[-1] - self._times[0]
        period = span / (len(self._times) - 1)
        overdue = max(0.0, now_ns - self._times[-1] - period)
        return (len(self._times) - 1) * 1e9 / max(span + overdue, 1.0)

    def _forget(self, now_ns: int) -> None:
        while self._times and now_ns - self._times[0] > self._window_ns:
            self._times.popleft()


class Percentiles(NamedTuple):
    """Percentiles of one stage, milliseconds."""

    p50: float
    p95: float
    p99: float


class LatencyWindow:
    """Latencies by stage of the latest results.

    Args:
        size: how many results are remembered.
    """

    def __init__(self, size: int = 1000) -> None:
        self._rows: deque[tuple[float, ...]] = deque(maxlen=size)

    def add(self, latency_ms: dict[str, float]) -> None:
        """Remember one result; a stage that it lacks counts as 0 ms."""
        self._rows.append(tuple(latency_ms.get(stage, 0.0) for stage in STAGES))

    def percentiles(self) -> dict[str, Percentiles]:
        """p50, p95 and p99 of every stage in ``STAGES``; empty before the first result."""
        if not self._rows:
            return {}
        table = np.percentile(np.array(self._rows), (50, 95, 99), axis=0)
        return {stage: Percentiles(*(float(x) for x in column)) for stage, column in zip(STAGES, table.T, strict=True)}


class SkewWindow:
    """Skew of the latest pairs, seconds.

    Args:
        size: how many pairs are remembered.
    """

    def __init__(self, size: int = 1000) -> None:
        self._skews: deque[float] = deque(maxlen=size)

    def add(self, skew_s: float) -> None:
        """Remember one pair's thermal-minus-visible skew."""
        self._skews.append(skew_s)

    def summary(self) -> tuple[float, float, float]:
        """Signed mean, mean absolute and largest absolute skew, seconds; zeros before the first pair."""
        if not self._skews:
            return 0.0, 0.0, 0.0
        skews = np.array(self._skews)
        return float(skews.mean()), float(np.abs(skews).mean()), float(np.abs(skews).max())
