"""Our model on still images, through the pipeline that the node runs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import OBJECTS, Engine, EngineOutput, Plane
from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.pipeline import FusionPipeline, build_pipeline
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.types import Frame, FramePair, FusionResult, Image

Found = npt.NDArray[np.float64]
"""Objects of one image, the surest first, (M, 6): index of the label, probability, and the box: left, upper, right and
lower edge in pixels."""

NOTHING: Found = np.empty((0, 6))

LEAST = 0.01
"""Probability from which a box is judged: curves of precision and miss rate need those that nobody would be told of."""


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


@cache
def judged_pipeline(model: Path, rig: Path | None = None) -> FusionPipeline:
    """As ``still_pipeline``, but its results hold objects down to the probability ``LEAST``."""
    return build_pipeline(_AllObjects(still_engine(model)), Rig.load(rig) if rig else None)


def finds_objects(model: Path) -> bool:
    """Whether the model gives boxes."""
    return OBJECTS in getattr(still_engine(model), "outputs", ())


def found_objects(result: FusionResult, labels: tuple[str, ...]) -> Found:
    """The objects of a result as an array, without hot regions, which are no label's."""
    of_model = (found for found in result.objects if found.is_of_model)
    rows = [(labels.index(found.label), found.probability, *found.box) for found in of_model]
    return np.array(rows, np.float64).reshape(-1, 6)


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


class _AllObjects:
    """An engine under a manifest with the least thresholds of objects. See ``Engine``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        least = dict.fromkeys(engine.manifest.labels, LEAST)
        self.manifest = replace(engine.manifest, objects={**engine.manifest.objects, "thresholds": least})
        self.description, self.reason, self.state = engine.description, engine.reason, engine.state

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        return self._engine.buffers(height, width)

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        return self._engine.infer(visible, thermal)

    def close(self) -> None:
        self._engine.close()
