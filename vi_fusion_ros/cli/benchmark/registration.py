"""``vi-fusion benchmark registration``: what the warp and the tone mapping of a thermal frame cost on one core."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.benchmarks.machine import processor
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.rig import Camera
from vi_fusion_ros.sync.stream_monitor import StreamMonitor
from vi_fusion_ros.thermal import Destriper, Radiometry, ToneMapper, without_dead_pixels
from vi_fusion_ros.thermal.denoising import denoised

_WARM_UP = 10
_THERMAL, _VISIBLE = (640, 512), (1280, 1024)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("registration", help="cost of warp and tone mapping on one core")
    parser.add_argument("--runs", type=int, default=200, help="timed runs (default 200)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.runs < 1:
        raise ValueError("--runs must be at least 1")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        result = measure(args.runs)
    finally:
        cv2.setNumThreads(threads)
    if args.json:
        print(json.dumps({"command": "vi-fusion benchmark registration --json", **result}, indent=2))
    else:
        for name, row in result["stages"].items():
            print(f"{name}: median {row['cpu_median_ms']} ms of CPU, {row['wall_median_ms']} ms of wall time")
    return 0


def measure(runs: int) -> dict[str, Any]:
    """Time each stage on a synthetic 640x512 16-bit frame, the visible frame being 1280x1024.

    Returns:
        ``stages``: per stage ``cpu_median_ms`` and, which other processes prolong, ``wall_median_ms``; and what was
        measured where.
    """
    noise = np.random.default_rng(0).normal(0, 40, _THERMAL[::-1])
    frame = (29500 + 400 * np.sin(np.arange(_THERMAL[0]) / 50) + noise).astype(np.uint16)
    homography = np.array([[1.8, 0.02, 64.0], [-0.01, 1.82, 51.0], [1e-5, 2e-5, 1.0]])
    lens = Camera(np.array([[700.0, 0, 320], [0, 700, 256], [0, 0, 1]]), np.array([-0.2, 0.05, 0, 0, 0]))
    flat = Registration(Rig(homography, _THERMAL, _VISIBLE, "benchmark"))
    bent = Registration(Rig(homography, _THERMAL, _VISIBLE, "benchmark", thermal_camera=lens))
    stages: dict[str, Callable[[], Any]] = {
        "warp_homography": lambda: flat.apply(frame, _VISIBLE),
        "warp_distortion_and_homography": lambda: bent.apply(frame, _VISIBLE),
    }
    for method in ("range", "percentile", "plateau", "local"):
        mapper = ToneMapper(method, (29000.0, 30000.0), Radiometry(0.01).span(1.0))
        stages[f"tone_{method}"] = lambda mapper=mapper: mapper(frame)  # type: ignore[misc]
    monitor, takes = StreamMonitor(), itertools.cycle((frame, frame + np.uint16(1)))
    dead = np.random.default_rng(1).random(frame.shape) < 0.001
    dark = np.random.default_rng(2).normal(40, 8, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    stages |= {
        "dead_pixels": lambda: without_dead_pixels(frame, dead),
        "stripes": lambda: Destriper().offsets(frame),  # in one frame of five
        "kelvin": lambda: Radiometry(0.01).kelvin(frame),
        "stream_monitor": lambda: monitor.update(next(takes), 0.0),
        "denoise_visible_640x480": lambda: denoised(dark),
    }
    return {
        "thermal": "640x512 uint16",
        "visible": "1280x1024",
        "runs": runs,
        "opencv": cv2.__version__,
        "opencv_threads": cv2.getNumThreads(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "machine": processor(),
        "stages": {name: _timed(stage, runs) for name, stage in stages.items()},
    }


def _timed(stage: Callable[[], Any], runs: int) -> dict[str, float]:
    cpu, wall = [], []
    for _ in range(_WARM_UP + runs):
        start = time.process_time_ns(), time.perf_counter_ns()
        stage()
        cpu.append((time.process_time_ns() - start[0]) / 1e6)
        wall.append((time.perf_counter_ns() - start[1]) / 1e6)
    medians = (float(np.median(times[_WARM_UP:])) for times in (cpu, wall))
    return {key: round(value, 3) for key, value in zip(("cpu_median_ms", "wall_median_ms"), medians, strict=True)}
