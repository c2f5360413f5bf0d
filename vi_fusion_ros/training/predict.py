"""Run the network over crops and frames, in batches, without gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet, FusionOutput, luma
from vi_fusion_ros.training import losses
from vi_fusion_ros.training.batches import Pixels, fit_square, to_tensors
from vi_fusion_ros.training.packed import PackedPairs

CROP_SIDE = 48
"""Crops are judged stretched to a square of this many pixels."""


@torch.no_grad()
def predict_crops(
    network: FusionNet, crops: PackedPairs, modality: str = "both", side: int = CROP_SIDE, keep_shape: bool = False
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits and presence of every crop, (N, C) each.

    Args:
        network: in any mode; runs in eval mode.
        crops: the crops.
        modality: ``both``, or ``visible`` or ``thermal`` to black out the other camera.
        side: side of the square that crops are resized to, pixels, a multiple of 16.
        keep_shape: centre the crop on the square with replicated edges instead of stretching it.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for start in range(0, len(crops), 256):
        chosen = range(start, min(start + 256, len(crops)))
        visible, thermal = to_tensors(np.stack([fit_square(crops[i], side, keep_shape) for i in chosen]))
        visible, thermal = blackened(visible.to(device), thermal.to(device), modality)
        rows.append(network(visible, thermal).logits.float().cpu().numpy())
    network.train(was_training)
    return np.concatenate(rows), crops.presence()[0]


@torch.no_grad()
def predict_frame(network: FusionNet, pixels: Pixels, modality: str = "both") -> FusionOutput:
    """The outputs for one full frame (H, W, 4) uint8, padded by reflection and cropped back; network in eval mode."""
    height, width = pixels.shape[:2]
    device = next(network.parameters()).device
    visible, thermal = (image.to(device) for image in padded_tensors(pixels))
    output = network(*blackened(visible, thermal, modality))
    return output._replace(fused=output.fused[..., :height, :width], attention=output.attention[..., :height, :width])


def padded_tensors(pixels: Pixels) -> tuple[Tensor, Tensor]:
    """(H, W, 4) uint8 to visible (1, 3, H', W') and thermal (1, 1, H', W'), padded right and below by reflection."""
    down, right = (-size % SIZE_MULTIPLE for size in pixels.shape[:2])
    return to_tensors(np.pad(pixels, ((0, down), (0, right), (0, 0)), "reflect")[None])


def blackened(visible: Tensor, thermal: Tensor, modality: str) -> tuple[Tensor, Tensor]:
    """The pair with the camera that ``modality`` does not name made black."""
    if modality == "visible":
        return visible, torch.zeros_like(thermal)
    return (torch.zeros_like(visible), thermal) if modality == "thermal" else (visible, thermal)


def frame_losses(network: FusionNet, frames: PackedPairs, weights: losses.FusionWeights) -> dict[str, float]:
    """Mean of each term of the fusion loss over whole frames."""
    was_training = network.training
    network.eval()
    rows = []
    for index in range(len(frames)):
        output = predict_frame(network, frames[index])
        visible, thermal = to_tensors(np.asarray(frames[index])[None])
        visible_luma = luma(visible)
        both = torch.ones(1, dtype=torch.bool)
        with torch.no_grad():
            terms = losses.fusion_loss(output.fused.cpu(), output.attention.cpu(), visible_luma, thermal, both, weights)
        rows.append({name: float(value) for name, value in terms.items()})
    network.train(was_training)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
