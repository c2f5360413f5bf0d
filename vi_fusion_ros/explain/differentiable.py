"""The network behind an ONNX file, in torch again, so that its answers have gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vi_fusion_ros.engines.calibration import Calibration
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.release.onnx_export import TOLERANCE, largest_difference
from vi_fusion_ros.training.warm_start import load_network
from vi_fusion_ros.types import Image, Mode

Floats = npt.NDArray[np.float32]


class Classifier(nn.Module):
    """Probabilities of presence as the pipeline gives them with both cameras, differentiable.

    Args:
        network: the whole network, in eval mode.
        calibration: of presence with both cameras.
    """

    temperature: Tensor
    bias: Tensor

    def __init__(self, network: FusionNet, calibration: Calibration) -> None:
        super().__init__()
        self.network = network
        for name in ("temperature", "bias"):
            self.register_buffer(name, torch.from_numpy(getattr(calibration, name)).float())

    @property
    def features(self) -> nn.Module:
        """The layer that the scores of objects' centres are a linear function of: most of a logit."""
        return self.network.perception.fine

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, 1, H, W), 0 to 1, to calibrated logits, (N, C): their sigmoid is the probability."""
        return (self.network(visible, thermal).logits - self.bias) / self.temperature


def load_classifier(model: Path) -> Classifier:
    """The classifier of an exported model.

    Args:
        model: the ONNX file; its manifest lies beside it and names the sizes of the network.

    Raises:
        ValueError: it is no ONNX file of ``vi-fusion export``, or torch and ONNX Runtime disagree about it.
    """
    if model.suffix != ".onnx":
        raise ValueError(
            f"model {model} is no ONNX file; an explanation needs the .onnx that the engine was built from"
        )
    network = load_network(model).requires_grad_(requires_grad=False)
    rng = np.random.default_rng(0)
    pair = rng.random((1, 3, 64, 96), np.float32), rng.random((1, 1, 64, 96), np.float32)
    worst = largest_difference(network, model, [pair])
    if not worst <= TOLERANCE:
        raise ValueError(f"model {model}: torch and ONNX Runtime differ by {worst:.2g}; expected at most {TOLERANCE:g}")
    return Classifier(network, Manifest.load(model.with_suffix(".json")).calibration(Mode.BOTH))


def network_inputs(visible: Image, thermal: Image, multiple: int) -> tuple[Floats, Floats]:
    """The network's inputs, padded as the pipeline pads them: the last row and column repeated.

    Args:
        visible: (H, W, 3) uint8 BGR.
        thermal: (H, W) uint8.
        multiple: what the sides must be multiples of.

    Returns:
        (1, 3, H', W') RGB and (1, 1, H', W'), float32, 0 to 1.
    """
    height, width = thermal.shape
    padding = ((0, -height % multiple), (0, -width % multiple))
    rgb = np.pad(visible[:, :, ::-1], (*padding, (0, 0)), mode="edge").transpose(2, 0, 1)[None]
    grey = np.pad(thermal, padding, mode="edge")[None, None]
    white = np.float32(255)
    return np.ascontiguousarray(rgb, np.float32) / white, np.ascontiguousarray(grey, np.float32) / white
