"""Batches for training, each a pure function of (seed, epoch, number): any of them can be made again.

A step of training takes two things: object crops, resized to one small square, for the classifier; and patches of
full frames for fusion, with further crops pasted into them at native scale, for presence in a scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vi_fusion_ros.model.network import SIZE_MULTIPLE
from vi_fusion_ros.training.augment import AugmentConfig, Augmented, augment
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.training.packed import PackedPairs

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

GRID = SIZE_MULTIPLE
"""Pixels in each direction that one place of the network's coarsest grid stands for."""

SMALLEST = 10.0
"""Pixels of the longer side of a box, below which nobody could say what it shows."""


@dataclass(frozen=True)
class BatchConfig:
    """Sizes of a step's batches.

    Attributes:
        crops: crops of 48 pixels in a step, 0 for none; of larger ones fewer, so that steps cost the same.
        empty: share of them that is replaced by a piece of a frame without objects, 0 to 1.
        crop_sizes: side of the squares, pixels, one of them drawn per step; multiples of 16.
        patches: frame patches in a step, 0 for none.
        patch_size: side of the patches, pixels; a multiple of 16.
        paste: largest number of crops pasted into one patch.
        misalignment: largest shift of thermal against visible in crops, pixels of the crop.
        flatten: how even the (label, illumination) groups of crops, and the illuminations of frames, are drawn: 0 as
            they come, 1 all alike. With most of the data of one kind the others should be seen often, but not so often
            that their few images are learned by heart and taken for common.
    """

    crops: int = 64
    empty: float = 0.15
    crop_sizes: tuple[int, ...] = (32, 48, 48, 48, 64, 96)
    patches: int = 6
    patch_size: int = 144
    paste: int = 3
    misalignment: float = 2.0
    flatten: float = 0.7


class Part(NamedTuple):
    """Images and what is known about them; (N, …) each.

    Attributes:
        images: inputs and fusion targets.
        target: (N, C) float32 presence.
        known: (N, C) float32, 1 where presence is known.
        illumination: (N,) int64, -1 where unknown.
        places: (N, C, h, w) float32 on the network's coarsest grid, or None: 1 where the label is, 0 where it is not,
            -1 where that is unknown.
    """

    images: Augmented
    target: Tensor
    known: Tensor
    illumination: Tensor
    places: Tensor | None = None


Batch = dict[str, Part]


class TrainingBatches(Dataset[Batch]):
    """The batches of one epoch.

    Args:
        crops: object crops.
        frames: full frames, or None for a classifier alone.
        config: sizes.
        augmentation: probabilities.
        modality: ``both``, or ``visible`` or ``thermal`` for a baseline that never sees the other camera.
        steps: batches in the epoch.
        seed: of all randomness.
        epoch: number of the epoch.
    """

    def __init__(
        self,
        crops: PackedPairs,
        frames: PackedPairs | None,
        config: BatchConfig,
        augmentation: AugmentConfig,
        modality: str,
        steps: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.crops, self.frames = crops, frames
        self.config, self.augmentation, self.modality = config, augmentation, modality
        self.steps, self.seed, self.epoch = steps, seed, epoch
        self._target, self._known = crops.presence()
        self._illumination = crops.illumination()
        self._weights = _balanced(self._target.argmax(1) * 3 + self._illumination, config.flatten)
        self._frame_weights = None if frames is None else _balanced(frames.illumination(), config.flatten)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> Batch:
        if number >= self.steps:
            raise IndexError(number)
        rng = np.random.default_rng((self.seed, self.epoch, number))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = {}
        if self.config.crops:
            batch["crops"] = self._crops(rng, generator)
        if self.config.patches and self.frames is not None:
            batch["frames"] = self._patches(rng, generator)
        return batch

    def _crops(self, rng: np.random.Generator, generator: torch.Generator) -> Part:
        side = int(rng.choice(self.config.crop_sizes))
        count = max(round(self.config.crops * min((48 / side) ** 2, 1.5)), 2)
        chosen = rng.choice(len(self.crops), count, p=self._weights)
        target, known = self._target[chosen], self._known[chosen]
        light = self._illumination[chosen]
        crops = [self.crops[i] for i in chosen]
        if self.frames is not None:
            for place in np.flatnonzero(rng.random(len(crops)) < self.config.empty):
                height, width = crops[place].shape[:2]
                piece = self._piece(height, width, rng)
                if piece is not None:
                    crops[place], target[place], known[place], light[place] = piece, 0, 1, -1
        images = np.stack([_fit(_shaken(crop, rng, self.config.misalignment), side, rng) for crop in crops])
        return self._part(images, target, known, light, generator)

    def _patches(self, rng: np.random.Generator, generator: torch.Generator) -> Part:
        assert self.frames is not None
        light = self.frames.illumination()
        images, targets, knowns, lights, places = [], [], [], [], []
        for frame in rng.choice(len(self.frames), self.config.patches, p=self._frame_weights):
            image, target, known, grid = self._patch(int(frame), rng)
            images.append(image)
            targets.append(target)
            knowns.append(known)
            lights.append(light[frame])
            places.append(grid)
        part = self._part(np.stack(images), np.stack(targets), np.stack(knowns), np.array(lights), generator)
        return part._replace(places=torch.from_numpy(np.stack(places)))

    def _patch(self, frame: int, rng: np.random.Generator) -> tuple[Pixels, Floats, Floats, Floats]:
        assert self.frames is not None
        side, pixels, sample = self.config.patch_size, self.frames[frame], self.frames.samples[frame]
        height, width = pixels.shape[:2]
        taken = min(int(side / rng.uniform(0.75, 1.4)), height, width)
        x, y = int(rng.integers(width - taken + 1)), int(rng.integers(height - taken + 1))
        patch = cv2.resize(pixels[y : y + taken, x : x + taken], (side, side), interpolation=cv2.INTER_LINEAR)
        target = np.zeros(len(LABELS), np.float32)
        known = np.array([label in sample.known for label in LABELS], np.float32)
        grid = (
            np.where(known > 0, 0, -1).astype(np.float32)[:, None, None].repeat(side // GRID, 1).repeat(side // GRID, 2)
        )
        scale = side / taken
        for box in sample.boxes:
            corners = [scale * n for n in (box.x0 - x, box.y0 - y, box.x1 - x, box.y1 - y)]
            mark(grid[LABELS.index(box.label)], *corners)
            across = max(0.0, min(box.x1, x + taken) - max(box.x0, x))
            down = max(0.0, min(box.y1, y + taken) - max(box.y0, y))
            seen = across * down / ((box.x1 - box.x0) * (box.y1 - box.y0))
            index = LABELS.index(box.label)
            if seen >= 0.4:
                target[index], known[index] = 1, 1
            elif seen > 0.05 and not target[index]:
                known[index] = 0
        self._paste(patch, target, known, grid, rng)
        if rng.random() < 0.5:
            patch, grid = patch[:, ::-1], grid[..., ::-1]
        return np.ascontiguousarray(patch), target, known, np.ascontiguousarray(grid)

    def _paste(self, patch: Pixels, target: Floats, known: Floats, grid: Floats, rng: np.random.Generator) -> None:
        """Paste crops, and now and then a piece of another frame so that a pasted edge alone says nothing."""
        for index in rng.choice(len(self.crops), int(rng.integers(self.config.paste + 1)), p=self._weights):
            crop = self.crops[int(index)]
            if rng.random() < 0.3:
                piece = self._piece(crop.shape[0], crop.shape[1], rng)
                if piece is None:
                    continue
                crop, index = piece, -1
            scale = min(rng.uniform(0.8, 1.5), 0.6 * patch.shape[0] / max(crop.shape[:2]))
            width, height = (max(int(n * scale), 4) for n in (crop.shape[1], crop.shape[0]))
            x, y = int(rng.integers(patch.shape[1] - width + 1)), int(rng.integers(patch.shape[0] - height + 1))
            patch[y : y + height, x : x + width] = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
            covered = (
                slice(None),
                slice(y // GRID, -(-(y + height) // GRID)),
                slice(x // GRID, -(-(x + width) // GRID)),
            )
            # A crop of one object may show part of another, and of what it was pasted on.
            grid[covered] = -1 if index >= 0 else np.where(grid[covered] > 0, -1, grid[covered])
            if index >= 0:
                mark(grid[int(self._target[index].argmax())], x, y, x + width, y + height)
                target[:] = np.maximum(target, self._target[index])
                known[:] = np.maximum(known, self._target[index])

    def _piece(self, height: int, width: int, rng: np.random.Generator) -> Pixels | None:
        """A piece of any frame without labelled objects; None where five tries found none."""
        assert self.frames is not None
        for _ in range(5):
            frame = int(rng.integers(len(self.frames)))
            pixels, sample = self.frames[frame], self.frames.samples[frame]
            h, w = min(height, pixels.shape[0]), min(width, pixels.shape[1])
            x, y = int(rng.integers(pixels.shape[1] - w + 1)), int(rng.integers(pixels.shape[0] - h + 1))
            hit = any(b.x0 < x + w and b.x1 > x and b.y0 < y + h and b.y1 > y for b in sample.boxes)
            if sample.known and not hit:
                return pixels[y : y + h, x : x + w]
        return None

    def _part(
        self,
        images: Pixels,
        target: Floats,
        known: Floats,
        illumination: npt.NDArray[np.int64],
        generator: torch.Generator,
    ) -> Part:
        visible, thermal = to_tensors(images)
        made = augment(visible, thermal, self.augmentation, generator)
        if self.modality != "both":
            made = only(made, visible, thermal, self.modality)
        light = torch.from_numpy(illumination).clone()
        light[made.darkened] = -1
        light[made.dark] = ILLUMINATION.index("night")
        return Part(made, torch.from_numpy(target), torch.from_numpy(known), light)


def mark(grid: Floats, x0: float, y0: float, x1: float, y1: float) -> None:
    """Enter a box into one label's grid of places, in place.

    Places whose centre is in the box, and the one that its centre is in, become 1. Others that it touches become
    unknown unless they are 1 already; so do all of them where the box is too small to be seen, or mostly outside.

    Args:
        grid: (h, w), one place is ``GRID`` pixels wide and high.
        x0: left edge, pixels of the image.
        y0: upper edge.
        x1: right edge, exclusive.
        y1: lower edge, exclusive.
    """
    height, width = grid.shape
    rows, columns = (
        slice(max(int(y0 // GRID), 0), int(-(-y1 // GRID))),
        slice(max(int(x0 // GRID), 0), int(-(-x1 // GRID))),
    )
    touched = grid[rows, columns]
    touched[touched < 1] = -1
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    if max(x1 - x0, y1 - y0) < SMALLEST or not (0 <= cx < width * GRID and 0 <= cy < height * GRID):
        return
    ys, xs = (np.arange(n) * GRID + GRID / 2 for n in (height, width))
    inside = ((ys >= y0) & (ys < y1))[:, None] & ((xs >= x0) & (xs < x1))
    grid[inside] = 1
    grid[int(cy // GRID), int(cx // GRID)] = 1


def to_tensors(images: Pixels) -> tuple[Tensor, Tensor]:
    """(N, H, W, 4) uint8 to visible (N, 3, H, W) and thermal (N, 1, H, W), float32, 0 to 1."""
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
    return planes[:, :3].contiguous(), planes[:, 3:].contiguous()


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


def _fit(crop: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    fitted = fit_square(crop, side, bool(rng.random() < 0.5))
    return fitted[:, ::-1] if rng.random() < 0.5 else fitted


def _shaken(crop: Pixels, rng: np.random.Generator, misalignment: float) -> Pixels:
    """Trim up to an eighth off each side, and in half the cases shift thermal against visible."""
    height, width = crop.shape[:2]
    if rng.random() < 0.7:
        left, right = (int(n) for n in rng.integers(0, width // 8 + 1, 2))
        top, bottom = (int(n) for n in rng.integers(0, height // 8 + 1, 2))
        crop = crop[top : height - bottom, left : width - right]
    if misalignment and rng.random() < 0.5:
        shift = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
        shift[:, 2] = rng.uniform(-misalignment, misalignment, 2)
        moved = cv2.warpAffine(crop[..., 3], shift, (crop.shape[1], crop.shape[0]), borderMode=cv2.BORDER_REPLICATE)
        crop = np.dstack((crop[..., :3], moved))
    return crop


def _balanced(group: npt.NDArray[np.int64], flatten: float) -> npt.NDArray[np.float64]:
    """Sampling weights that sum to 1; a group's share goes with its count to the power ``1 - flatten``."""
    _, place = np.unique(group, return_inverse=True)
    weight = np.bincount(place).astype(float)[place] ** -flatten
    return np.asarray(weight / weight.sum())
