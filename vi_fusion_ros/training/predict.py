"""Run the network over crops and frames, in batches, without gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vi_fusion_ros.model.network import CROP_SIDE, SIZE_MULTIPLE, FusionNet, luma
from vi_fusion_ros.training import losses
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.tensors import Pixels, fit_square, to_tensors

View = Callable[[Pixels], Pixels]
"""A change of a frame's pixels, (H, W, 4) to (H', W', 4) uint8."""

AS_IT_IS: tuple[View, ...] = (lambda pixels: pixels,)


def mirrored_and_scaled() -> tuple[View, ...]:
    """A frame as it is and mirrored, at 0.8, 1 and 1.25 of its size: six views for a steadier fit of few frames."""

    def view(scale: float, step: int) -> View:
        return lambda pixels: np.ascontiguousarray(
            cv2.resize(pixels[:, ::step], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )

    return tuple(view(scale, step) for scale in (0.8, 1.0, 1.25) for step in (1, -1))


@torch.no_grad()
def predict_crops(
    network: FusionNet, crops: PackedPairs, modality: str = "both", side: int = CROP_SIDE, keep_shape: bool = False
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits and presence of every crop, (N, C) each.

    Args:
        network: in any mode; runs in eval mode.
        crops: the crops.
        modality: ``both``, or ``visible`` or ``thermal`` to black out the other camera.
        side: side of the square that crops are resized to, pixels, a multiple of 32.
        keep_shape: centre the crop on the square with replicated edges instead of stretching it.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for start in range(0, len(crops), 128):
        chosen = range(start, min(start + 128, len(crops)))
        visible, thermal = to_tensors(np.stack([fit_square(crops[i], side, keep_shape) for i in chosen]))
        visible, thermal = blackened(visible.to(device), thermal.to(device), modality)
        rows.append(network.perceive(visible, thermal).logits.float().cpu().numpy())
    network.train(was_training)
    return np.concatenate(rows), crops.presence()[0]


@torch.no_grad()
def predict_presence(
    network: FusionNet, frames: PackedPairs, modality: str = "both", views: Sequence[View] = AS_IT_IS
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits (V N, C) and illumination scores (V N, 2) of full frames; the network runs in eval mode.

    Args:
        network: in any mode.
        frames: N of them.
        modality: as in ``predict_crops``.
        views: V changes of a frame's pixels; the rows are frame by frame.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for index, view in itertools.product(range(len(frames)), views):
        visible, thermal = padded_tensors(view(frames[index]))
        images = blackened(visible.to(device), thermal.to(device), modality)
        output = network.perceive(*images)
        rows.append((output.logits.float().cpu().numpy(), output.illumination.float().cpu().numpy()))
    network.train(was_training)
    logits, light = (np.concatenate(column) for column in zip(*rows, strict=True))
    return logits, light


def predict_sets(
    network: FusionNet, sets: Iterable[PackedPairs], modality: str = "both", views: Sequence[View] = AS_IT_IS
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """``predict_presence`` of several sets, one after the other."""
    rows = [predict_presence(network, frames, modality, views) for frames in sets]
    logits, light = (np.concatenate(column) for column in zip(*rows, strict=True))
    return logits, light


@torch.no_grad()
def predict_fused(network: FusionNet, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Fused luma and attention of one full frame (H, W, 4) uint8, (1, 1, H, W); network in eval mode."""
    height, width = pixels.shape[:2]
    device = next(network.parameters()).device
    images = (image.to(device) for image in padded_tensors(pixels))
    fused, attention = network.fusion(*images)
    return fused[..., :height, :width], attention[..., :height, :width]


@torch.no_grad()
def predict_objects(network: FusionNet, pixels: Pixels) -> npt.NDArray[np.float32]:
    """The object map (5 C, h, w) of one full frame (H, W, 4) uint8; network in eval mode."""
    device = next(network.parameters()).device
    images = (image.to(device) for image in padded_tensors(pixels))
    return np.asarray(network.perceive(*images).objects[0].float().cpu().numpy())


def padded_tensors(pixels: Pixels) -> tuple[Tensor, Tensor]:
    """(H, W, 4) uint8 to visible (1, 3, H', W') and thermal (1, 1, H', W'), padded by their last row and column."""
    height, width = pixels.shape[:2]
    right, down = padded_size((width, height))
    return to_tensors(np.pad(pixels, ((0, down - height), (0, right - width), (0, 0)), "edge")[None])


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the network's inputs for a frame of this width and height."""
    return (size[0] + -size[0] % SIZE_MULTIPLE, size[1] + -size[1] % SIZE_MULTIPLE)


def blackened(visible: Tensor, thermal: Tensor, modality: str) -> tuple[Tensor, Tensor]:
    """The pair with the camera that ``modality`` does not name made black."""
    if modality == "visible":
        return visible, torch.zeros_like(thermal)
    return (torch.zeros_like(visible), thermal) if modality == "thermal" else (visible, thermal)


@torch.no_grad()
def frame_losses(
    network: FusionNet, frames: PackedPairs, weights: losses.FusionWeights, limit: int | None = None
) -> dict[str, float]:
    """Mean of each term of the fusion loss over whole frames, at most ``limit`` of them, evenly spread."""
    was_training = network.training
    network.eval()
    rows = []
    for index in range(0, len(frames), max(len(frames) // limit, 1) if limit else 1):
        fused, attention = predict_fused(network, frames[index])
        visible, thermal = to_tensors(np.array(frames[index])[None])
        both = torch.ones(1, dtype=torch.bool)
        terms = losses.fusion_loss(fused.float().cpu(), attention.float().cpu(), luma(visible), thermal, both, weights)
        rows.append({name: float(value) for name, value in terms.items()})
    network.train(was_training)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
