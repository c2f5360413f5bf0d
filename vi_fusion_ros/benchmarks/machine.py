"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe


def machine() -> dict[str, Any]:
    """Processor, cores, GPU (or why there is none), load and date."""
    try:
        gpu = str(probe())
    except TensorRTUnavailableError as error:
        gpu = f"none used: {error}"
    return {
        "machine": f"{platform.machine()}, {processor()}",
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
