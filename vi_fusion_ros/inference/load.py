"""From a path to the engine that serves it."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.inference.engine import Engine
from vi_fusion_ros.inference.onnx_engine import OnnxRuntimeEngine


def load_engine(path: str | Path, threads: int = 2) -> Engine:
    """Load a model.

    Args:
        path: an ONNX file, its manifest beside it.
        threads: CPU threads of one inference.

    Raises:
        ValueError: it cannot be served; one sentence with the path.
    """
    if Path(path).suffix != ".onnx":
        raise ValueError(f"model {path} is of an unknown kind; expected an .onnx file")
    return OnnxRuntimeEngine(path, threads)
