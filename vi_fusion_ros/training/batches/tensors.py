"""Pixels to tensors, and what a network of one camera gets."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vi_fusion_ros.training.batches.augment import Augmented

Pixels = npt.NDArray[np.uint8]


def to_tensors(images: Pixels) -> tuple[Tensor, Tensor]:
    """(N, H, W, 4) uint8 to visible (N, 3, H, W) and thermal (N, 1, H, W), float32, 0 to 1."""
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
    return planes[:, :3].contiguous(), planes[:, 3:].contiguous()


def generators(seed: int, epoch: int, number: int) -> tuple[np.random.Generator, torch.Generator]:
    """The random numbers of one batch, of NumPy and of torch: always the same for these three."""
    rng = np.random.default_rng((seed, epoch, number))
    return rng, torch.Generator().manual_seed(int(rng.integers(2**62)))


def only(images: Augmented, visible: Tensor, thermal: Tensor, modality: str) -> Augmented:
    """``images`` with the other modality black; where augmentation had dropped this one, it is put back clean."""
    there = images.both[:, None, None, None]
    if modality == "visible":
        kept = torch.where(there | (images.clean_visible.amax((1, 2, 3), True) > 0), images.visible, visible)
        return Augmented(kept, thermal * 0, kept, thermal * 0, images.both & False, images.darkened, images.dark)
    kept = torch.where(there | (images.clean_thermal.amax((1, 2, 3), True) > 0), images.thermal, thermal)
    return Augmented(visible * 0, kept, visible * 0, kept, images.both & False, images.darkened, images.dark)


def fit_square(crop: Pixels, side: int, keep_shape: bool) -> Pixels:
    """``crop`` (h, w, 4) on a square of ``side`` pixels: stretched, or (``keep_shape``) centred, edges replicated."""
    height, width = crop.shape[:2]
    if not keep_shape:
        return cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR)
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    return cv2.copyMakeBorder(small, top, side - size[1] - top, left, side - size[0] - left, cv2.BORDER_REPLICATE)
