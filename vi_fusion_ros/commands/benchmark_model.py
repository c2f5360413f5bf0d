"""``vi-fusion benchmark model``: how long the model takes in ONNX Runtime."""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.commands.sizes import size
from vi_fusion_ros.share import default_model

_WARM_UP = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("model", help="latency of the model alone, in ONNX Runtime")
    parser.add_argument("--model", type=Path, help="ONNX file; the default model where not given")
    parser.add_argument("--size", type=size, default=(640, 480), help="WIDTHxHEIGHT, pixels (default 640x480)")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default 2)")
    parser.add_argument("--runs", type=int, default=100, help="timed runs (default 100)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.threads < 1 or args.runs < 1:
        raise ValueError("--threads and --runs must be at least 1")
    result = measure(args.model or default_model(), args.size, args.threads, args.runs)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print("{model} at {size}, {threads} threads: median {median_ms} ms, p95 {p95_ms} ms".format(**result))
    return 0


def measure(model: Path, size_wh: tuple[int, int], threads: int, runs: int) -> dict[str, Any]:
    """Time one model on random frames.

    Args:
        model: ONNX file with the package's interface.
        size_wh: width and height of the frames, pixels.
        threads: threads of ONNX Runtime.
        runs: timed runs, after a few that are not.

    Returns:
        ``median_ms``, ``p95_ms``, ``min_ms``, and what was measured where.

    Raises:
        ValueError: the model cannot be loaded, or does not take this size.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.random((1, planes, size_wh[1], size_wh[0]), np.float32)
        for name, planes in (("visible", 3), ("thermal", 1))
    }
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        times = [_timed(session, inputs) for _ in range(_WARM_UP + runs)][_WARM_UP:]
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{model}: cannot be run at {size_wh[0]}x{size_wh[1]} ({reason})") from error
    return {
        "model": model.name,
        "size": f"{size_wh[0]}x{size_wh[1]}",
        "threads": threads,
        "runs": runs,
        "median_ms": round(float(np.median(times)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "min_ms": round(min(times), 2),
        "backend": f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider",
        "machine": f"{platform.machine()}, {processor()}",
    }


def _timed(session: Any, inputs: dict[str, Any]) -> float:
    start = time.perf_counter_ns()
    session.run(None, inputs)
    return (time.perf_counter_ns() - start) / 1e6


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
