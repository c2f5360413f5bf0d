"""What every engine offers, whatever runs the network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.inference.manifest import Manifest

Tensor = npt.NDArray[np.float32]

INPUTS = {"visible": 3, "thermal": 1}
"""Names and channels of the network's inputs, each [1, C, H, W] in 0 to 1; visible in RGB order."""

OUTPUTS = ("fused", "attention", "logits", "illumination")
"""Names of the network's outputs."""


class EngineError(ValueError):
    """An engine that cannot be loaded or run; the text is one sentence."""


class EngineOutput(NamedTuple):
    """What the network returns for one pair.

    Attributes:
        fused: [1, 1, H, W] luma, 0 to 1.
        attention: [1, 1, H, W] thermal share, 0 to 1.
        logits: [1, C] presence scores of the labels, before temperature and sigmoid.
        illumination: [1, K] scores of the illumination classes, before softmax.
    """

    fused: Tensor
    attention: Tensor
    logits: Tensor
    illumination: Tensor


class Engine(Protocol):
    """A loaded network. Not thread-safe: one caller at a time."""

    @property
    def manifest(self) -> Manifest:
        """What the model is."""

    @property
    def description(self) -> str:
        """Backend and version, for example ``onnxruntime 1.23.2 CPUExecutionProvider, 2 threads``."""

    @property
    def reason(self) -> str:
        """Why this backend was chosen."""

    def infer(self, visible: Tensor, thermal: Tensor) -> EngineOutput:
        """Run the network.

        Args:
            visible: [1, 3, H, W] RGB, 0 to 1, C-contiguous; H and W multiples of ``manifest.multiple``.
            thermal: [1, 1, H, W], 0 to 1, C-contiguous.

        Raises:
            EngineError: if the run fails.
        """

    def close(self) -> None:
        """Let go of memory and threads; the engine cannot be used after."""


def load_engine(model: str | Path, threads: int = 2) -> Engine:
    """Load a model with the best backend for this machine.

    Args:
        model: the ``.onnx`` file; its manifest lies beside it.
        threads: CPU threads.

    Raises:
        EngineError: if the model cannot be loaded.
        ManifestError: if its manifest is missing, broken or of another model.
    """
    from vi_fusion_ros.inference.onnx_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(Path(model), threads)
