"""What every engine is to the pipeline."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.manifest import Manifest

Tensor = npt.NDArray[np.float32]
Plane = npt.NDArray[Any]
"""Pixels in planes: float32, 0 to 1, or the same as uint8, 0 to 255."""

INPUTS = {"visible": 3, "thermal": 1}
"""Names and channels of a model's inputs: float32 [1, channels, H, W], 0 to 1."""

OUTPUTS: tuple[str, ...] = ("fused", "attention", "logits", "illumination")
"""Names of the outputs that every model has, in the order of ``EngineOutput``."""

OBJECTS = "objects"
"""Name of the output that a model may have besides."""

PLACE_PARTS = 8
"""Parts of a place of ``objects`` that the sides of boxes are given in: pixels, where a place is 8 pixels wide."""

IMAGES = ("fused", "attention")
"""Which of the outputs are images."""


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What a model returns. The arrays belong to the caller: no later inference writes to them.

    Attributes:
        fused: (1, 1, H, W) luma, float32 from 0 to 1 or uint8 from 0 to 255.
        attention: (1, 1, H, W), the thermal share of each pixel, float32 from 0 to 1 or uint8 from 0 to 255.
        logits: (1, C) float32, one raw score per label, before temperature and sigmoid.
        illumination: (1, K) float32, raw scores of the illumination classes, before softmax.
        objects: (1, 5 C, h, w) float32, a place standing for W/w by H/h pixels of the inputs; None where the model has
            no such output. The first C channels are raw scores, before calibration and sigmoid, that the centre of an
            object of that label is at this place. Then come four channels a label: the distances from the middle of
            the place to the left, upper, right and lower side of the box, in eighths of a place's width or height.
            ``vi_fusion_ros.objects.decode`` reads it.
    """

    fused: Plane
    attention: Plane
    logits: Tensor
    illumination: Tensor
    objects: Tensor | None = None

    @property
    def finite(self) -> bool:
        """Whether the scores are numbers: without, there is no result."""
        scores = (self.logits, self.illumination, self.objects)
        return all(bool(np.isfinite(values).all()) for values in scores if values is not None)


class Engine(Protocol):
    """A loaded model. Not thread-safe.

    Attributes:
        manifest: what the model is.
        description: backend, version and device, for people.
        reason: why this backend serves the model, one phrase.
        state: ``ready``; ``building`` while this engine serves until a faster one is built; ``fallback`` where the
            faster one was wanted and cannot be had, or has failed.
    """

    @property
    def manifest(self) -> Manifest: ...  # noqa: D102 (the class's docstring says it)
    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        """Where to put the next pair, so that no copy of it is needed.

        Args:
            height: of the images, a multiple of ``manifest.multiple``.
            width: likewise.

        Returns:
            (1, 3, height, width) and (1, 1, height, width), both float32 or both uint8, with what was last in them. To
            be asked for before each inference and passed to ``infer``.
        """
        ...

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """Run the model.

        Args:
            visible: (1, 3, H, W) RGB, float32 from 0 to 1 or what ``buffers`` gave; zeros where that camera is missing.
            thermal: (1, 1, H, W), likewise, registered; zeros where that camera is missing. H and W are multiples of
                ``manifest.multiple``.
        """
        ...

    def close(self) -> None:
        """Free the device; the engine is not used afterwards."""
        ...


class FloatBuffers:
    """Float32 inputs that are kept as long as the size is the same."""

    def __init__(self) -> None:
        self._arrays: tuple[Tensor, Tensor] | None = None

    def of(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(1, 3, height, width) and (1, 1, height, width): zeros, or what was last in them."""
        if self._arrays is None or self._arrays[0].shape[2:] != (height, width):
            visible, thermal = (np.zeros((1, channels, height, width), np.float32) for channels in INPUTS.values())
            self._arrays = (visible, thermal)
        return self._arrays


def outputs_of(names: Collection[str]) -> tuple[str, ...]:
    """The outputs to ask of a model that has outputs of these names, in the order of ``EngineOutput``."""
    return (*OUTPUTS, OBJECTS) if OBJECTS in names else OUTPUTS


def to_unit(plane: Plane) -> Tensor:
    """Pixels as float32, 0 to 1."""
    return plane if plane.dtype == np.float32 else np.multiply(plane, np.float32(1 / 255), dtype=np.float32)


def to_bytes(plane: Plane) -> npt.NDArray[np.uint8]:
    """Pixels as uint8, 0 to 255, to the nearest."""
    if plane.dtype == np.uint8:
        return plane
    return np.rint(np.clip(plane, 0, 1) * np.float32(255)).astype(np.uint8)
