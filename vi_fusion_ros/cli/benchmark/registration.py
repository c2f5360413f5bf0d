"""``vi-fusion benchmark registration``: what warp and tone mapping cost on one core, and the error by distance."""

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
from vi_fusion_ros.benchmarks.rigs import PLANE_M, SIZE, depth_scene, lensed_rig
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.lenses import bent, straightened
from vi_fusion_ros.registration.rig import Camera
from vi_fusion_ros.sync.stream_monitor import StreamMonitor
from vi_fusion_ros.thermal import Destriper, Radiometry, ToneMapper, without_dead_pixels
from vi_fusion_ros.thermal.denoising import denoised

_WARM_UP = 10
_THERMAL, _VISIBLE = (640, 512), (1280, 1024)
_DISTANCES_M = (2.0, 5.0, 10.0, 50.0)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("registration", help="cost of warp and tone mapping on one core; error by distance")
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
        for row in result["error_px"]:
            print(
                f"at {row['distance_m']:g} m: {row['plane']} px by the plane, {row['depth']} px by depth, "
                f"{row['depth_1_percent_off']} px where it is 1 % off"
            )
    return 0


def measure(runs: int) -> dict[str, Any]:
    """Time each stage on a synthetic 640x512 16-bit frame, the visible frame being 1280x1024.

    Depth is measured with visible and thermal images of 640x480 and the lenses of a rig whose cameras are 7 cm apart.

    Returns:
        ``error_px``: by distance, the mean error in visible pixels. ``stages``: per stage ``cpu_median_ms`` and, which
        other processes prolong, ``wall_median_ms``; and what was measured where.
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
    rig = lensed_rig()
    near = Registration(rig)
    small = np.ascontiguousarray(frame[: SIZE[1]])
    depth = depth_scene(*SIZE[::-1])
    points = near.rays(SIZE, SIZE)[::2, ::2].reshape(-1, 3) * np.float32(4)
    stages |= {
        "warp_plane_640x480": lambda: near.apply(small, SIZE),
        "warp_depth_640x480": lambda: near.apply_at_depth(small, depth, SIZE),
        "depth_of_76800_points": lambda: near.distances(points, SIZE),
    }
    return {
        "thermal": "640x512 uint16",
        "visible": "1280x1024",
        "runs": runs,
        "opencv": cv2.__version__,
        "opencv_threads": cv2.getNumThreads(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "machine": processor(),
        "plane_m": PLANE_M,
        "error_px": [_errors(rig, distance_m) for distance_m in _DISTANCES_M],
        "stages": {name: _timed(stage, runs) for name, stage in stages.items()},
    }


def _errors(rig: Rig, distance_m: float) -> dict[str, float]:
    """How far a wall at a distance is off, by the plane and by depth.

    Images that hold their own coordinates show where each visible pixel was taken from; the truth is traced through the
    lenses point by point.
    """
    width, height = SIZE
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    visible, thermal, extrinsics = rig.visible_camera, rig.thermal_camera, rig.extrinsics
    assert visible is not None
    assert thermal is not None
    assert extrinsics is not None
    straight = straightened(visible, np.stack([xs.ravel(), ys.ravel()], 1))
    wall = distance_m * np.c_[straight, np.ones(len(straight))] @ np.linalg.inv(visible.matrix).T
    rays = (wall - extrinsics.translation_m) @ extrinsics.rotation
    truth = bent(thermal, (rays / rays[:, 2:] @ thermal.matrix.T)[:, :2]).reshape(height, width, 2)
    registration = Registration(rig)
    depth = np.full((height, width), distance_m, np.float32)

    def error(warp: Callable[[np.ndarray], tuple[np.ndarray, Any, float]]) -> float:
        off = np.linalg.norm(np.dstack([warp(xs)[0], warp(ys)[0]]) - truth, axis=-1)
        return round(float(np.nanmean(off)) * visible.matrix[0, 0] / thermal.matrix[0, 0], 3)

    return {
        "distance_m": distance_m,
        "plane": error(lambda image: registration.apply(image, SIZE)),
        "depth": error(lambda image: registration.apply_at_depth(image, depth, SIZE)),
        "depth_1_percent_off": error(lambda image: registration.apply_at_depth(image, depth * 1.01, SIZE)),
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
