"""A model is tried in a process of its own before it is loaded here.

ONNX Runtime checks most of what it reads, but a damaged model can still end the process that loads it (a failed
assertion, a segmentation fault), and no exception tells. The model that the package ships is known and not tried.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from vi_fusion_ros.engines.manifest import sha256
from vi_fusion_ros.resources import default_model

TIMEOUT_S = 30.0
MEMORY_BYTES = 8 * 2**30


def try_model(path: Path) -> None:
    """Load ``path`` in a child process and run it once; what it says in an exception is left to the real loading.

    Raises:
        ValueError: it ends that process, or takes more than ``TIMEOUT_S``; one sentence with the path.
    """
    if path.is_file() and not _is_shipped(path):
        _try(path, sha256(path))


@cache
def _try(path: Path, _digest: str) -> None:
    command = [sys.executable, "-m", "vi_fusion_ros.engines.sandboxed_load", str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise ValueError(f"model {path} is not loaded within {TIMEOUT_S:g} s; it is damaged") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ValueError(f"model {path} ends ONNX Runtime ({name}) when it is loaded; it is damaged")


def _is_shipped(path: Path) -> bool:
    try:
        shipped = json.loads(default_model().with_suffix(".json").read_text(encoding="utf-8"))["onnx_sha256"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(sha256(path) == shipped)


def main() -> int:
    """Load and run the model that the command line names; 1 where it is refused in the ordinary way."""
    from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        OnnxRuntimeEngine(sys.argv[1], 1)
    except ValueError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
