"""A fusion method in place of the network: pairing, registration, colour and health stay what they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import EngineOutput, Plane, Tensor
from vi_fusion_ros.engines.manifest import MODES, Manifest
from vi_fusion_ros.methods.base import FusionMethod, Gray8
from vi_fusion_ros.types import UNKNOWN_ILLUMINATION

NETWORK = "network"
"""What the node's parameter ``fusion.method`` is for the network."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B: ITU-R BT.601


class MethodEngine:
    """Runs a method as an ``Engine``: no labels, no objects, illumination ``unknown``.

    Its attention says how much nearer the fused pixel is to the thermal one than to the visible one: 255 is equal to
    the thermal pixel, 0 to the visible one, 128 as far from both.

    Args:
        method: what fuses.
    """

    def __init__(self, method: FusionMethod) -> None:
        self._method = method
        self._buffers: tuple[Gray8, Gray8] | None = None
        self.manifest = Manifest(
            model_id=f"method-{method.name}",
            onnx_sha256="",
            labels=(),
            thresholds={},
            illumination=(UNKNOWN_ILLUMINATION,),
            input={"multiple": 1},
            temperature=dict.fromkeys(MODES, 1.0),
            backend="numpy",
        )
        self.description = f"method {method.name}: {method.title}"
        self.reason = "fusion.method asks for it"
        self.state = "ready"

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        """As ``Engine.buffers``; uint8."""
        if self._buffers is None or self._buffers[0].shape[2:] != (height, width):
            self._buffers = (np.zeros((1, 3, height, width), np.uint8), np.zeros((1, 1, height, width), np.uint8))
        return self._buffers

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """As ``Engine.infer``, of uint8 planes."""
        # Not tensordot: the BLAS wakes a thread for an image, which then spins for longer than all of this takes.
        luma = np.rint(np.einsum("c,chw->hw", _LUMA, visible[0].astype(np.float32))).astype(np.uint8)
        fused = self._method.fuse(luma, thermal[0, 0])
        scores: Tensor = np.zeros((1, 0), np.float32)
        share = _thermal_share(fused, luma, thermal[0, 0])
        return EngineOutput(fused[None, None], share[None, None], scores, np.zeros((1, 1), np.float32))

    def close(self) -> None:
        """Nothing is held."""


def _thermal_share(fused: Gray8, visible: Gray8, thermal: Gray8) -> npt.NDArray[np.uint8]:
    to_visible, to_thermal = (np.abs(np.subtract(fused, source, dtype=np.float32)) for source in (visible, thermal))
    total = to_visible + to_thermal
    return np.rint(np.where(total > 0, 255 * to_visible / np.maximum(total, 1), 127.5)).astype(np.uint8)
