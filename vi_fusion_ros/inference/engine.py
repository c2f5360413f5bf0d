"""What every engine is to the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.inference.manifest import Manifest

Tensor = npt.NDArray[np.float32]

INPUTS = {"visible": 3, "thermal": 1}
"""Names and channels of a model's inputs: float32 [1, channels, H, W], 0 to 1."""

OUTPUTS = ("fused", "attention", "logits", "illumination")
"""Names of a model's outputs, in the order of ``EngineOutput``."""


@dataclass(frozen=True, eq=False)
class EngineOutput:
    """What a model returns. The arrays belong to the caller: no later inference writes to them.

    Attributes:
        fused: (1, 1, H, W) float32 luma, 0 to 1.
        attention: (1, 1, H, W) float32, the thermal share of each pixel, 0 to 1.
        logits: (1, C) float32, one raw score per label, before temperature and sigmoid.
        illumination: (1, K) float32, raw scores of the illumination classes, before softmax.
    """

    fused: Tensor
    attention: Tensor
    logits: Tensor
    illumination: Tensor


class Engine(Protocol):
    """A loaded model. Not thread-safe.

    Attributes:
        manifest: what the model is.
        description: backend, version and device, for people.
        reason: why this backend serves the model, one phrase.
    """

    manifest: Manifest
    description: str
    reason: str

    def infer(self, visible: Tensor, thermal: Tensor) -> EngineOutput:
        """Run the model.

        Args:
            visible: (1, 3, H, W) float32 RGB, 0 to 1; zeros where that camera is missing.
            thermal: (1, 1, H, W) float32, 0 to 1, registered; zeros where that camera is missing. H and W are
                multiples of ``manifest.multiple``.
        """
        ...

    def close(self) -> None:
        """Free the device; the engine is not used afterwards."""
        ...
