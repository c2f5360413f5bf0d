"""``vi-fusion benchmark metrics``: how many frames a second get all fusion metrics."""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.benchmarks.machine import processor
from vi_fusion_ros.evaluation.fusion.evaluation import OURS, trivial_fusions
from vi_fusion_ros.evaluation.metrics.fusion import METRICS, metrics_of_methods
from vi_fusion_ros.evaluation.parallel import map_in_order

_SIZE = (520, 300)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("metrics", help="frames a second that get all fusion metrics")
    parser.add_argument("--frames", type=int, default=120, help="frames (default 120)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if min(args.frames, args.jobs) < 1:
        raise ValueError("--frames and --jobs must be at least 1")
    result = measure(args.frames, args.jobs)
    if args.json:
        print(json.dumps({"command": "vi-fusion benchmark metrics --json", **result}, indent=2))
    else:
        for name, rate in result["frames_per_s"].items():
            print(f"{name.replace('_', ' ')}: {rate} frames/s, {result['cpu_ms_per_frame'][name]} ms of CPU a frame")
    return 0


def measure(frames: int, jobs: int) -> dict[str, Any]:
    """Compute all metrics of made 520x300 frames in several processes at once.

    Returns:
        ``frames_per_s``: with one fused image a frame, and with the five of ``evaluate fusion`` (ours, VIS, IR, AVG,
        MAX); steady state, without the processes' start and without reading or fusing images; and
        ``cpu_ms_per_frame``, which other programs on the machine prolong less.
    """
    rates, costs = {}, {}
    for name, methods in (("one_method", (OURS,)), ("five_methods", (OURS, "VIS", "IR", "AVG", "MAX"))):
        seconds = map_in_order(partial(_seconds, methods), list(range(frames)), jobs, name)
        wall, cpu = np.array(seconds).sum(axis=0).tolist()
        rates[name], costs[name] = round(frames * jobs / wall, 2), round(1e3 * cpu / frames, 1)
    return {
        "size": f"{_SIZE[0]}x{_SIZE[1]}",
        "metrics": list(METRICS),
        "frames": frames,
        "processes": jobs,
        "load_average_1min": round(os.getloadavg()[0], 2),
        "machine": processor(),
        "frames_per_s": rates,
        "cpu_ms_per_frame": costs,
    }


def _seconds(methods: tuple[str, ...], seed: int) -> tuple[float, float]:
    """Wall and CPU time of one frame."""
    visible, thermal = (_texture(2 * seed + k) for k in (0, 1))
    ours = cv2.addWeighted(visible, 0.4, thermal, 0.6, 0)
    fused = {
        name: image for name, image in {OURS: ours, **trivial_fusions(visible, thermal)}.items() if name in methods
    }
    start = time.perf_counter(), time.process_time()
    metrics_of_methods(fused, visible, thermal)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _texture(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    noise = np.random.default_rng(seed).normal(size=_SIZE[::-1])
    return np.clip(120 + 300 * cv2.GaussianBlur(noise, (0, 0), 2), 0, 255).astype(np.uint8)
