"""What a backend needs of memory, in a process of its own.

Run as ``python -m vi_fusion_ros.benchmarks.memory CASE``, CASE being the JSON of a ``Case``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vi_fusion_ros.benchmarks.backends import Case, load

_RUNS = 3
_TIMEOUT_S = 300.0


def measure(case: Case) -> dict[str, float]:
    """Peak of a process that loads the case and runs it some times.

    Returns:
        ``memory_mb``: resident memory at its peak, above that of Python and NumPy alone. ``gpu_memory_mb``: on the GPU,
        where there is one. Empty where the process failed.
    """
    command = [sys.executable, "-m", __name__, json.dumps({**asdict(case)}, default=str)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        return {}
    return figures


def _peak_mb() -> float:
    """Of this process; getrusage() would tell of its parent's peak where that is the higher one."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _gpu_mb() -> float | None:
    from vi_fusion_ros.engines.trt import cuda

    with contextlib.suppress(cuda.CudaError):
        return cuda.load().memory_used() / 2**20
    return None


def _case(document: dict[str, Any]) -> Case:
    engines = document["engines"]
    return Case(
        **{
            **document,
            "model": Path(document["model"]),
            "size": tuple(document["size"]),
            "engines": Path(engines) if engines else None,
        }
    )


def main() -> None:
    """Measure the case of the command line and print JSON."""
    before, gpu_before = _peak_mb(), _gpu_mb()
    ready = load(_case(json.loads(sys.argv[1])))
    for _ in range(_RUNS):
        ready.call()
    figures = {"memory_mb": round(_peak_mb() - before, 1)}
    gpu_after = _gpu_mb()
    if gpu_before is not None and gpu_after is not None:
        figures["gpu_memory_mb"] = round(gpu_after - gpu_before, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
