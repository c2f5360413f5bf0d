"""``vi-fusion benchmark drift``: the drift monitor over real video pairs, from wrong and right registrations."""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.benchmarks.machine import processor
from vi_fusion_ros.registration.drift import DriftMonitor, DriftReport, DriftState
from vi_fusion_ros.registration.planar import corner_error
from vi_fusion_ros.registration.rig import Matrix, Rig, Size
from vi_fusion_ros.sources.clip import sampled
from vi_fusion_ros.sources.video import Video
from vi_fusion_ros.types import Image

CLIPS = ("0113_1714", "0117_1605", "1230_1202")
WITHIN_S = 10.0
MOST_SHIFT_PX, MOST_ROTATION_DEG = 12.0, 1.5

Clip = list[tuple[Image, Image]]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("drift", help="the drift monitor over the video pairs of M3SVD")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with m3svd/ (default: $VI_FUSION_DATA)")
    parser.add_argument("--starts", type=int, default=24, help="wrong registrations for each clip (default 24)")
    parser.add_argument("--rate", type=float, default=2.0, help="pairs a second that are looked at (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    if args.starts < 1 or not 0.1 <= args.rate <= 10:
        raise ValueError("expected --starts of 1 or more and --rate of 0.1 to 10")
    data = args.data or os.environ.get("VI_FUSION_DATA")
    if not data:
        raise ValueError("where are the videos? expected --data DIR, or VI_FUSION_DATA, with m3svd/ in it")
    result = measure(Path(data), args.starts, args.rate)
    print(json.dumps({key: value for key, value in result.items() if key != "runs"}, indent=2))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(data: Path, starts: int, rate_hz: float) -> dict[str, Any]:
    """Run the monitor in mode ``correct`` over all clips.

    Args:
        data: folder with ``m3svd/``.
        starts: random wrong registrations for each clip.
        rate_hz: pairs a second.

    Returns:
        Residuals against the given registration (the identity), pixels of 640, mean of the corners.
    """
    clips = {name: load(data, name, rate_hz) for name in CLIPS}
    random = np.random.default_rng(0)
    wrong = [
        {"clip": name, **follow(clip[: round(WITHIN_S * rate_hz)], random_start(random, size_of(clip)), rate_hz)}
        for name, clip in clips.items()
        for _ in range(starts)
    ]
    right = [{"clip": name, **follow(clip, np.eye(3), rate_hz)} for name, clip in clips.items()]
    mixed = [
        {"visible": one, "thermal": other, **follow(mix(clips[one], clips[other]), np.eye(3), rate_hz)}
        for one in clips
        for other in clips
        if one != other
    ]
    ends = np.array([row["end_px"] for row in wrong])
    return {
        "command": f"vi-fusion benchmark drift --starts {starts} --rate {rate_hz:g} --json FILE",
        "rate_hz": rate_hz,
        "machine": processor(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "cpu_ms_per_pair": _figure(np.median([row["cpu_ms"] for row in wrong])),
        "from_wrong": {
            "starts": len(wrong),
            "most_shift_px": MOST_SHIFT_PX,
            "most_rotation_deg": MOST_ROTATION_DEG,
            "median_start_px": _figure(np.median([row["start_px"] for row in wrong])),
            "median_end_px": _figure(np.median(ends)),
            "p90_end_px": _figure(np.percentile(ends, 90)),
            "worst_end_px": _figure(ends.max()),
            "median_end_px_by_clip": {
                name: _figure(np.median([row["end_px"] for row in wrong if row["clip"] == name])) for name in clips
            },
            "worse_than_start": sum(row["end_px"] > row["start_px"] + 0.5 for row in wrong),
        },
        "from_the_truth": {"furthest_px": max(row["furthest_px"] for row in right)},
        "different_scenes": {
            "furthest_px": max(row["furthest_px"] for row in mixed),
            "share_unsure": _figure(np.mean([row["share_unsure"] for row in mixed])),
            "highest_confidence": max(row["highest_confidence"] for row in mixed),
        },
        "runs": {"from_wrong": wrong, "from_the_truth": right, "different_scenes": mixed},
    }


def load(data: Path, name: str, rate_hz: float, seconds: float = math.inf) -> Clip:
    """Pairs (visible, thermal) of a clip's first seconds, BGR, that many a second."""
    videos = [_frames(data / "m3svd" / f"{name}_{camera}.mp4", rate_hz, seconds) for camera in ("visible", "thermal")]
    return list(zip(*videos, strict=False))


def mix(one: Clip, other: Clip) -> Clip:
    """The visible images of one clip with the thermal ones of another: there is no right registration."""
    return [(visible, thermal) for (visible, _), (_, thermal) in zip(one, other, strict=False)]


def size_of(clip: Clip) -> Size:
    """(width, height) of the images."""
    return clip[0][0].shape[1], clip[0][0].shape[0]


def start(size: Size, shift_px: tuple[float, float], rotation_deg: float) -> Matrix:
    """A registration that is off by a shift and a rotation about the centre, (3, 3)."""
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    dx, dy = shift_px
    return np.array([[cos, -sin, x + dx - cos * x + sin * y], [sin, cos, y + dy - sin * x - cos * y], [0, 0, 1]])


def random_start(random: np.random.Generator, size: Size) -> Matrix:
    """Uniform in the length and the direction of the shift and in the rotation."""
    length, angle = random.uniform(0, MOST_SHIFT_PX), random.uniform(0, 2 * math.pi)
    rotation = random.uniform(-MOST_ROTATION_DEG, MOST_ROTATION_DEG)
    return start(size, (length * math.cos(angle), length * math.sin(angle)), rotation)


def follow(clip: Clip, homography: Matrix, rate_hz: float) -> dict[str, Any]:
    """Run the monitor over a clip from a registration, the right one being the identity."""
    size = size_of(clip)
    monitor = DriftMonitor(Rig(homography, size, size, "benchmark"), correct=True)
    reports: list[DriftReport] = []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    begin = time.process_time()
    try:
        reports += [monitor.update(*pair, number / rate_hz) for number, pair in enumerate(clip)]
    finally:
        cv2.setNumThreads(threads)
    cpu_ms = (time.process_time() - begin) * 1e3 / len(clip)
    off = [
        corner_error(report.correction @ homography, np.eye(3), size)
        for report in reports
        if report.correction is not None
    ]
    return {
        "start_px": _figure(corner_error(homography, np.eye(3), size)),
        "end_px": _figure(off[-1]),
        "furthest_px": _figure(max(off)),
        "states": "".join(report.state.value[0] for report in reports),
        "share_unsure": _figure(np.mean([report.state is DriftState.UNSURE for report in reports])),
        "highest_confidence": _figure(max(report.confidence for report in reports)),
        "cpu_ms": _figure(cpu_ms),
    }


def _frames(path: Path, rate_hz: float, seconds: float) -> list[Image]:
    frames: list[Image] = []
    for image in islice(sampled(Video(path), rate_hz), math.ceil(seconds * rate_hz)):
        if isinstance(image, ValueError):
            raise image
        frames.append(image)
    return frames


def _figure(value: Any) -> float:
    return round(float(value), 3)
