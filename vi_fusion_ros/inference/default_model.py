"""The model that the package ships."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.share import share_path


def default_model_path() -> Path:
    """Path of the shipped ONNX file; its manifest and its model card lie beside it.

    Raises:
        FileNotFoundError: the package's share folder is not found.
    """
    return share_path() / "models" / "default.onnx"
