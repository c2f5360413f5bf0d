"""Latency and throughput of calls, measured so that ratios hold on a busy machine, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

WARM_UP = 10


def interleaved(calls: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Time every call ``runs`` times, in turn: whatever else slows the machine down slows all of them.

    Args:
        calls: by name.
        runs: timed runs of each, after ``WARM_UP`` that are not.

    Returns:
        Milliseconds of each run, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(WARM_UP + runs):
        for name, call in calls.items():
            start = time.perf_counter_ns()
            call()
            times[name].append((time.perf_counter_ns() - start) / 1e6)
    return {name: values[WARM_UP:] for name, values in times.items()}


def summary(times_ms: list[float]) -> dict[str, float]:
    """``median_ms``, ``p95_ms``, ``p99_ms``, ``min_ms``, and ``throughput_hz``, runs a second back to back."""
    values = np.array(times_ms)
    return {
        "median_ms": round(float(np.median(values)), 3),
        "p95_ms": round(float(np.percentile(values, 95)), 3),
        "p99_ms": round(float(np.percentile(values, 99)), 3),
        "min_ms": round(float(values.min()), 3),
        "throughput_hz": round(1e3 / float(values.mean()), 2),
    }
