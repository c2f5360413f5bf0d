"""Batches of patches of full frames for the fusion decoder, each a pure function of (seed, epoch, number)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from vi_fusion_ros.training.batches.augment import AugmentConfig, Augmented, augment
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.tensors import generators, to_tensors
from vi_fusion_ros.training.datasets.base import DatasetError

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PatchConfig:
    """Batches of patches.

    Attributes:
        patches: patches in a step, 0 for none.
        size: side of the patches, pixels; a multiple of 32.
        scale: range of the random scale.
        flatten: how even the illuminations of frames are drawn: 0 as they come, 1 all alike.
    """

    patches: int = 8
    size: int = 160
    scale: tuple[float, float] = (0.7, 1.3)
    flatten: float = 0.5


class PatchBatches(Dataset[Augmented]):
    """The batches of one epoch.

    Args:
        sets: frames by set; those of one camera alone are left out.
        weights: how often each set is drawn.
        config: sizes.
        augmentation: probabilities.
        steps: batches in the epoch.
        seed: of all randomness.
        epoch: number of the epoch.
    """

    def __init__(
        self,
        sets: dict[str, PackedPairs],
        weights: dict[str, float],
        config: PatchConfig,
        augmentation: AugmentConfig,
        steps: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.config, self.augmentation = config, augmentation
        self.steps, self.seed, self.epoch = steps, seed, epoch
        self._frames: list[tuple[PackedPairs, int]] = []
        shares = []
        for name, frames in sets.items():
            chosen = [i for i, sample in enumerate(frames.samples) if sample.camera == "both"]
            if chosen:
                self._frames += [(frames, i) for i in chosen]
                light = frames.illumination()[chosen]
                share = np.bincount(light + 1)[light + 1].astype(float) ** -config.flatten
                shares.append(weights[name] * share / share.sum())
        if not shares:
            raise DatasetError(
                f"no frame to train on of {', '.join(sets)} has both cameras; the fusion decoder is trained on pairs"
            )
        self._weight = np.concatenate(shares) / np.concatenate(shares).sum()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> Augmented:
        if number >= self.steps:
            raise IndexError(number)
        rng, generator = generators(self.seed, self.epoch, number)
        chosen = rng.choice(len(self._frames), self.config.patches, p=self._weight)
        return augment(*to_tensors(np.stack([self._patch(int(i), rng) for i in chosen])), self.augmentation, generator)

    def _patch(self, index: int, rng: np.random.Generator) -> Pixels:
        frames, place = self._frames[index]
        pixels, side = frames[place], self.config.size
        height, width = pixels.shape[:2]
        taken = min(int(side / rng.uniform(*self.config.scale)), height, width)
        x, y = int(rng.integers(width - taken + 1)), int(rng.integers(height - taken + 1))
        patch = cv2.resize(pixels[y : y + taken, x : x + taken], (side, side), interpolation=cv2.INTER_LINEAR)
        return patch[:, ::-1] if rng.random() < 0.5 else patch
