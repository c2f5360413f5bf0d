"""Our model on still images, through the pipeline that the node runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from vi_fusion_ros.engines.engine import Engine
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.pipeline import FusionPipeline, build_pipeline
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.types import Frame, FramePair, FusionResult, Image


@cache
def still_engine(model: Path) -> Engine:
    """The model on one thread; one a process.

    Args:
        model: the ONNX file; its manifest lies beside it.

    Raises:
        ValueError: if the model or its manifest cannot be used.
    """
    return load_engine(model, threads=1)


@cache
def still_pipeline(model: Path, rig: Path | None = None) -> FusionPipeline:
    """A pipeline over ``still_engine``; one a process.

    Args:
        model: the ONNX file.
        rig: rig file; None for pairs that are registered already.

    Raises:
        ValueError: the model or the rig file cannot be used.
    """
    return build_pipeline(still_engine(model), Rig.load(rig) if rig else None)


def fuse_pair(model: Path, visible: Image, thermal: Image, rig: Path | None = None) -> FusionResult:
    """Fuse one pair as if no other had come before.

    Args:
        model: the ONNX file.
        visible: (H, W) or (H, W, 3) BGR, uint8.
        thermal: (H, W) of the same size, or of any where there is a rig.
        rig: rig file; None where the pair is registered.
    """
    pipeline = still_pipeline(model, rig)
    pipeline.reset()
    return pipeline.process(FramePair(Frame(visible), Frame(thermal)))
