"""Batches of whole frames for the perception part, each a pure function of (seed, epoch, number).

Frames are drawn from every set, put on one canvas at the resolution that perception sees with a random scale, flipped,
and object crops are pasted into some of them. At least a share of each batch shows none of the labels: frames that are
known to be empty, and windows between the boxes of frames whose objects are all labelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from vi_fusion_ros.model.perception import STRIDE
from vi_fusion_ros.training.batches.augment import AugmentConfig, Augmented, augment
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.places import SMALLEST, ObjectMap
from vi_fusion_ros.training.batches.tensors import fit_square, generators, only, to_tensors
from vi_fusion_ros.training.datasets.base import DatasetError, Sample
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_USUAL_SIDE, _MOST_ENLARGED = 640, 1.5  # longer side, pixels, to which smaller frames are brought
_MOST_OF_A_WINDOW = 3.0  # times that an empty window is enlarged, at most
_LEAST_SIDE = 0.5  # of a distance from a place to a side of its box, pixels
_PAIRED_WINDOWS = 0.7  # share of the empty windows that come from frames of both cameras


@dataclass(frozen=True)
class SceneConfig:
    """Batches of whole frames.

    Attributes:
        frames: frames in a step, 0 for none.
        negatives: share of them without any of the labels.
        resolution: pixels of a canvas for each of a frame: 0.5, or 1 for a network whose ``view`` is above 640.
        sizes: canvases, (height, width), one of them drawn per step; multiples of 16.
        scale: range of the random scale.
        paste: largest number of crops pasted into a frame.
        paste_share: share of frames into which crops are pasted.
        misalignment: largest shift of thermal against visible, pixels of the canvas.
        bicycles: how much more often frames with the rarest label are drawn.
        crops: object crops in a step, each on a square of its own, 0 for none.
        crop_side: side of these squares on a canvas, a multiple of 16.
    """

    frames: int = 12
    negatives: float = 0.34
    resolution: float = 0.5
    sizes: tuple[tuple[int, int], ...] = ((240, 320), (240, 320), (160, 272))
    scale: tuple[float, float] = (0.7, 1.5)
    paste: int = 3
    paste_share: float = 0.35
    misalignment: float = 3.0
    bicycles: float = 2.0
    crops: int = 24
    crop_side: int = 64


class SceneBatch(NamedTuple):
    """Images and what is known about them; (N, …) each.

    Attributes:
        images: inputs, at half resolution.
        target: (N, C) float32 presence.
        known: (N, C) float32, 1 where presence is known.
        illumination: (N,) int64, -1 where unknown.
        centres: (N, C, h, w) float32, 1 at centres of objects, falling around them; -1 where unknown. One place is 8
            pixels of the full resolution.
        sides: (N, 4 C, h, w) float32, distances to the sides of the object, pixels of the full resolution.
        sides_weight: (N, C, h, w) float32, 0 where there is no object to learn the sides of.
    """

    images: Augmented
    target: Tensor
    known: Tensor
    illumination: Tensor
    centres: Tensor
    sides: Tensor
    sides_weight: Tensor


def coarser(part: SceneBatch, size: tuple[int, int]) -> SceneBatch:
    """The targets for a network that sees the frames smaller: places wider, boxes smaller in its pixels.

    Each of its places keeps, of those that it covers in whole or in part, the strongest centre of each label, and the
    sides of the box that weighs the most.

    Args:
        part: the targets.
        size: height and width of the network's object map, at most those of ``part``.
    """
    count, classes, height, width = part.sides_weight.shape
    down, right = (ours / theirs for ours, theirs in zip(size, (height, width), strict=True))
    weight, best = functional.adaptive_max_pool2d(part.sides_weight, size, return_indices=True)
    sides = part.sides.reshape(count, classes, 4, height * width)
    chosen = best.flatten(2)[:, :, None].expand(-1, -1, 4, -1)
    taken = sides.gather(3, chosen).reshape(count, classes, 4, *size)
    # How far the middle of the wide place lies to the right of the one that it is taken from, and below it.
    rows, columns = (torch.arange(places, device=best.device) + 0.5 for places in size)
    x = (columns - (best % width + 0.5) * right) * STRIDE
    y = (rows[:, None] - (best // width + 0.5) * down) * STRIDE
    scale = torch.tensor([right, down, right, down], device=best.device)[:, None, None]
    sides = (taken * scale + torch.stack((x, y, -x, -y), 2)).clamp_min(_LEAST_SIDE).flatten(1, 2)
    centres = functional.adaptive_max_pool2d(part.centres, size)
    unknown = (centres == 0) & (functional.adaptive_max_pool2d(-part.centres, size) == 1)
    return part._replace(centres=torch.where(unknown, -1.0, centres), sides=sides, sides_weight=weight)


class CropBatch(NamedTuple):
    """Object crops, each filling its image, at half resolution."""

    images: Augmented
    target: Tensor
    illumination: Tensor


class SceneBatches(Dataset[tuple[SceneBatch, CropBatch | None]]):
    """The batches of one epoch.

    Args:
        sets: frames by set.
        weights: how often each set is drawn.
        crops: object crops to paste and to show alone, or None.
        config: sizes.
        augmentation: probabilities.
        modality: ``both``, or ``visible`` or ``thermal`` for a baseline that never sees the other camera.
        steps: batches in the epoch.
        seed: of all randomness.
        epoch: number of the epoch.
    """

    def __init__(
        self,
        sets: dict[str, PackedPairs],
        weights: dict[str, float],
        crops: PackedPairs | None,
        config: SceneConfig,
        augmentation: AugmentConfig,
        modality: str,
        steps: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.crops, self.config, self.augmentation, self.modality = crops, config, augmentation, modality
        self.steps, self.seed, self.epoch = steps, seed, epoch
        self._pool = _Pool(sets, weights, config.bicycles, modality)
        if crops is not None:
            self._crop_target = crops.presence()[0]
            self._crop_light = crops.illumination()
            groups = self._crop_target.argmax(1) * 3 + self._crop_light
            _, place = np.unique(groups, return_inverse=True)
            weight = np.bincount(place).astype(float)[place] ** -0.8
            self._crop_weight = weight / weight.sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> tuple[SceneBatch, CropBatch | None]:
        if number >= self.steps:
            raise IndexError(number)
        rng, generator = generators(self.seed, self.epoch, number)
        return self._frames(rng, generator), self._crops(rng, generator)

    def _frames(self, rng: np.random.Generator, generator: torch.Generator) -> SceneBatch:
        size = self.config.sizes[int(rng.integers(len(self.config.sizes)))]
        scenes = []
        empty = int(np.ceil(self.config.frames * self.config.negatives))
        for number in range(self.config.frames):
            scene = self._empty_scene(size, rng) if number < empty else self._scene(*self._pool.draw(rng), size, rng)
            if number >= empty and self.crops is not None and rng.random() < self.config.paste_share:
                self._paste(scene, rng)
            if rng.random() < 0.5:
                scene.flip()
            scenes.append(scene)
        pixels = np.stack([_misaligned(scene.pixels, rng, self.config.misalignment) for scene in scenes])
        images, light = self._augmented(pixels, np.array([scene.light for scene in scenes]), generator)
        maps = [scene.objects for scene in scenes]
        arrays = (
            np.stack([scene.target for scene in scenes]),
            np.stack([scene.known for scene in scenes]),
        )
        target, known = (torch.from_numpy(array) for array in arrays)
        grids = (np.stack([getattr(m, name) for m in maps]) for name in ("centres", "sides", "weight"))
        centres, sides, weight = (torch.from_numpy(np.ascontiguousarray(grid)) for grid in grids)
        return SceneBatch(images, target, known, light, centres, sides, weight)

    def _crops(self, rng: np.random.Generator, generator: torch.Generator) -> CropBatch | None:
        if self.crops is None or not self.config.crops:
            return None
        chosen = rng.choice(len(self.crops), self.config.crops, p=self._crop_weight)
        side = self.config.crop_side
        pixels = np.stack([_square(self.crops[int(i)], side, rng) for i in chosen])
        images, light = self._augmented(pixels, self._crop_light[chosen], generator)
        return CropBatch(images, torch.from_numpy(self._crop_target[chosen]), light)

    def _augmented(
        self, pixels: Pixels, light: npt.NDArray[np.int64], generator: torch.Generator
    ) -> tuple[Augmented, Tensor]:
        visible, thermal = to_tensors(pixels)
        seen, warm = (image.amax((1, 2, 3), keepdim=True) > 0 for image in (visible, thermal))
        made = augment(visible, thermal, self.augmentation, generator)
        if self.modality != "both":
            made = only(made, visible, thermal, self.modality)
        else:
            # A frame of one camera keeps that camera, and never gets another one by noise.
            both = seen & warm
            made = made._replace(
                visible=torch.where(both | ~seen, made.visible * seen, _kept(made.visible, visible)),
                thermal=torch.where(both | ~warm, made.thermal * warm, _kept(made.thermal, thermal)),
            )
        illumination = torch.from_numpy(light).clone()
        illumination[made.darkened] = -1
        illumination[made.dark] = ILLUMINATION.index("night")
        return made, illumination

    def _scene(self, frames: PackedPairs, index: int, size: tuple[int, int], rng: np.random.Generator) -> _Scene:
        pixels, sample = frames[index], frames.samples[index]
        height, width = pixels.shape[:2]
        scale = self.config.resolution * np.exp(rng.uniform(*np.log(self.config.scale))) * _enlargement(height, width)
        scale = max(scale, 0.9 * max(size[0] / height, size[1] / width))
        taken = min(round(size[0] / scale), height), min(round(size[1] / scale), width)
        y, x = (int(rng.integers(whole - part + 1)) for whole, part in zip((height, width), taken, strict=True))
        return _Scene.window(pixels, sample, (y, x), taken, scale, size, rng)

    def _empty_scene(self, size: tuple[int, int], rng: np.random.Generator) -> _Scene:
        if rng.random() < 0.6:
            window = self._pool.draw_window(rng)
            if window is not None:
                pixels, sample, y, x, taken = window
                scale = min(max(size[0] / taken[0], size[1] / taken[1]), _MOST_OF_A_WINDOW * self.config.resolution)
                bare = Sample(sample.name, sample.visible, sample.thermal, known=frozenset(LABELS))
                light = sample.illumination
                scene = _Scene.window(pixels, bare, (y, x), taken, scale, size, rng)
                scene.light = -1 if light is None else ILLUMINATION.index(light)
                return scene
        return self._scene(*self._pool.draw_empty(rng), size, rng)

    def _paste(self, scene: _Scene, rng: np.random.Generator) -> None:
        """Paste crops, and now and then an empty window so that a pasted edge alone says nothing."""
        assert self.crops is not None
        count = 1 + int(rng.integers(self.config.paste))
        for index in rng.choice(len(self.crops), count, p=self._crop_weight):
            crop = self.crops[int(index)]
            label = int(self._crop_target[index].argmax())
            if rng.random() < 0.3:
                window = self._pool.draw_window(rng)
                if window is None:
                    continue
                pixels, _, y, x, taken = window
                h, w = min(crop.shape[0], taken[0]), min(crop.shape[1], taken[1])
                crop, label = pixels[y : y + h, x : x + w], -1
            scene.paste(crop, label, self.config.resolution, rng)


class _Pool:
    """The frames of all sets, and which of them are empty."""

    def __init__(self, sets: dict[str, PackedPairs], weights: dict[str, float], bicycles: float, modality: str) -> None:
        self._frames: list[tuple[PackedPairs, int]] = []
        weight, self._empty = [], []
        self._complete: dict[bool, list[int]] = {True: [], False: []}
        for name, frames in sets.items():
            usable = [i for i, s in enumerate(frames.samples) if s.camera in ("both", modality) or modality == "both"]
            boost = [bicycles if "bicycle" in frames.samples[i].present else 1.0 for i in usable]
            for index, more in zip(usable, boost, strict=True):
                sample = frames.samples[index]
                if sample.known == frozenset(LABELS) and not sample.present and not sample.ignored:
                    self._empty.append(len(self._frames))
                if sample.boxes and sample.complete and sample.known == frozenset(LABELS):
                    self._complete[sample.camera == "both"].append(len(self._frames))
                # Frames about which nothing is known teach nothing.
                weight.append(weights[name] * more / sum(boost) if sample.known or sample.boxes else 0.0)
                self._frames.append((frames, index))
        if not sum(weight) > 0:
            raise DatasetError(
                f"no frame to train on of {', '.join(sets)} has a label that is known for modality {modality}; a frame "
                "about which nothing is known teaches nothing"
            )
        self._weight = np.array(weight) / sum(weight)

    def draw(self, rng: np.random.Generator) -> tuple[PackedPairs, int]:
        return self._frames[int(rng.choice(len(self._frames), p=self._weight))]

    def draw_empty(self, rng: np.random.Generator) -> tuple[PackedPairs, int]:
        """A frame known to show none of the labels; any frame where there is none such."""
        if not self._empty:
            return self.draw(rng)
        return self._frames[self._empty[int(rng.integers(len(self._empty)))]]

    def draw_window(self, rng: np.random.Generator) -> tuple[Pixels, Sample, int, int, tuple[int, int]] | None:
        """A window of a fully labelled frame that no box reaches into; None where twenty tries found none."""
        pairs = self._complete[True] and (rng.random() < _PAIRED_WINDOWS or not self._complete[False])
        choice = self._complete[bool(pairs)]
        for _ in range(20 if choice else 0):
            frames, index = self._frames[choice[int(rng.integers(len(choice)))]]
            pixels, sample = frames[index], frames.samples[index]
            height, width = pixels.shape[:2]
            h = int(rng.uniform(0.2, 0.8) * height)
            w = min(int(h * rng.uniform(1.0, 1.8)), width)
            y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
            boxes = (*sample.boxes, *sample.ignored)
            if not any(b.x0 < x + w and b.x1 > x and b.y0 < y + h and b.y1 > y for b in boxes):
                return pixels, sample, y, x, (h, w)
        return None


class _Scene:
    """One frame of a batch in the making."""

    def __init__(self, pixels: Pixels, target: Floats, known: Floats, light: int, objects: ObjectMap) -> None:
        self.pixels, self.target, self.known, self.light, self.objects = pixels, target, known, light, objects

    @classmethod
    def window(
        cls,
        pixels: Pixels,
        sample: Sample,
        corner: tuple[int, int],
        taken: tuple[int, int],
        scale: float,
        size: tuple[int, int],
        rng: np.random.Generator,
    ) -> _Scene:
        """A window (y, x), (h, w) of a frame on a canvas of ``size``, what is left of it repeated from its edges."""
        (y, x), (h, w) = corner, taken
        small = min(round(h * scale), size[0]), min(round(w * scale), size[1])
        image = cv2.resize(pixels[y : y + h, x : x + w], small[::-1], interpolation=cv2.INTER_AREA)
        top, left = (int(rng.integers(whole - part + 1)) for whole, part in zip(size, small, strict=True))
        image = cv2.copyMakeBorder(
            image, top, size[0] - small[0] - top, left, size[1] - small[1] - left, cv2.BORDER_REPLICATE
        )
        known = np.array([label in sample.known for label in LABELS], np.float32)
        target = np.zeros(len(LABELS), np.float32)
        boxed = np.array([any(box.label == label for box in sample.boxes) for label in LABELS])
        present = np.array([label in sample.present for label in LABELS])
        objects = ObjectMap(size, known.astype(bool) & (boxed & sample.complete | ~present))
        # Presence without a place: as true of a window as of the frame only where the window is most of it.
        target[present & ~boxed] = 1
        if h * w < 0.6 * pixels.shape[0] * pixels.shape[1]:
            known[present & ~boxed] = 0
        if not sample.complete:  # a window without a box may show an object all the same
            known[present & boxed] = 0
        fx, fy = small[1] / w, small[0] / h
        for box in sample.boxes:
            index = LABELS.index(box.label)
            across = max(0.0, min(box.x1, x + w) - max(box.x0, x))
            down = max(0.0, min(box.y1, y + h) - max(box.y0, y))
            seen = across * down / max((box.x1 - box.x0) * (box.y1 - box.y0), 1e-6)
            if seen <= 0:
                continue
            corners = (
                (max(box.x0, x) - x) * fx + left,
                (max(box.y0, y) - y) * fy + top,
                (min(box.x1, x + w) - x) * fx + left,
                (min(box.y1, y + h) - y) * fy + top,
            )
            big = max(corners[2] - corners[0], corners[3] - corners[1]) >= SMALLEST
            if seen >= 0.4 and big:
                target[index], known[index] = 1, 1
                objects.add(index, *corners)
            else:
                objects.ignore(slice(index, index + 1), *corners)
                if not target[index] and (seen > 0.05):
                    known[index] = 0
        for box in sample.ignored:
            objects.ignore(
                slice(None),
                (box.x0 - x) * fx + left,
                (box.y0 - y) * fy + top,
                (box.x1 - x) * fx + left,
                (box.y1 - y) * fy + top,
            )
        light = -1 if sample.illumination is None else ILLUMINATION.index(sample.illumination)
        return cls(np.ascontiguousarray(image), target, known, light, objects)

    def paste(self, crop: Pixels, label: int, resolution: float, rng: np.random.Generator) -> None:
        """Paste an object of ``label``, or (-1) a piece without any."""
        height, width = self.pixels.shape[:2]
        scale = min(resolution * rng.uniform(0.8, 2.0), 0.5 * height / max(crop.shape[:2]))
        w, h = (max(int(n * scale), 4) for n in (crop.shape[1], crop.shape[0]))
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        small = cv2.resize(crop, (w, h), interpolation=cv2.INTER_AREA)
        region = self.pixels[y : y + h, x : x + w]
        for channels in (slice(0, 3), slice(3, 4)):
            if self.pixels[..., channels].any():  # a missing camera stays missing
                region[..., channels] = small[..., channels]
        # A crop of one object may show part of another, and of what it was pasted on.
        self.objects.ignore(slice(None), x, y, x + w, y + h, keep_objects=False)
        if label >= 0 and max(w, h) >= SMALLEST:
            # The crops reach a little beyond their objects' boxes.
            self.objects.add(label, x, y, x + w, y + h)
            self.target[label], self.known[label] = 1, 1
        elif label < 0:
            for index in np.flatnonzero(self.target):
                if not (self.objects.centres[index] == 1).any():
                    self.known[index] = 0

    def flip(self) -> None:
        """Mirror left and right."""
        self.pixels = np.ascontiguousarray(self.pixels[:, ::-1])
        self.objects.flip()


def _square(crop: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A crop trimmed a little, on a square: stretched, or in its own shape with edges repeated; mirrored or not."""
    height, width = crop.shape[:2]
    if rng.random() < 0.5:
        left, right = (int(n) for n in rng.integers(0, width // 8 + 1, 2))
        top, bottom = (int(n) for n in rng.integers(0, height // 8 + 1, 2))
        crop = crop[top : height - bottom, left : width - right]
    fitted = fit_square(crop, side, bool(rng.random() < 0.3))
    return fitted[:, ::-1] if rng.random() < 0.5 else fitted


def _enlargement(height: int, width: int) -> float:
    return float(np.clip(_USUAL_SIDE / max(height, width), 1.0, _MOST_ENLARGED))


def _misaligned(pixels: Pixels, rng: np.random.Generator, most: float) -> Pixels:
    """In four cases of ten, the thermal image shifted against the visible one."""
    if not most or rng.random() > 0.4 or not pixels[..., 3].any():
        return pixels
    shift = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    shift[:, 2] = rng.uniform(-most, most, 2)
    size = pixels.shape[1], pixels.shape[0]
    moved = cv2.warpAffine(np.ascontiguousarray(pixels[..., 3]), shift, size, borderMode=cv2.BORDER_REPLICATE)
    return np.dstack((pixels[..., :3], moved))


def _kept(made: Tensor, original: Tensor) -> Tensor:
    """The augmented images, and the originals where augmentation left a camera out."""
    there = made.amax((1, 2, 3), keepdim=True) > 0
    return torch.where(there, made, original)
