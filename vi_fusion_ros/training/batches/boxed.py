"""Whole frames with their boxes, for networks that find objects; each a pure function of (seed, epoch, number)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vi_fusion_ros.methods.mlf_cnn import SIDE, fitted
from vi_fusion_ros.training.batches.augment import AugmentConfig, augment
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.scenes import SceneConfig
from vi_fusion_ros.training.batches.tensors import generators, to_tensors
from vi_fusion_ros.training.datasets.base import Box, DatasetError, Sample
from vi_fusion_ros.training.datasets.labels import LABELS

_NARROWEST = 2.0  # pixels of what the network sees: nobody can say what a narrower box shows


class BoxedFrame(NamedTuple):
    """One frame.

    Attributes:
        visible: (1, 3, H, W) float32 RGB, 0 to 1; H and W multiples of 32.
        thermal: (1, 1, H, W) float32, 0 to 1.
        boxes: (M, 4) float32: left, upper, right and lower edge, pixels.
        labels: (M,) int64, indices of ``LABELS``.
        ignored: (K, 4) places whose objects count neither way.
    """

    visible: Tensor
    thermal: Tensor
    boxes: Tensor
    labels: Tensor
    ignored: Tensor


class BoxedFrames(Dataset[list[BoxedFrame]]):
    """The batches of one epoch: frames of both cameras in which every object of every label has a box.

    Args:
        sets: frames by set.
        weights: how often each set is drawn.
        config: ``frames`` in a batch, their random ``scale`` beyond that of ``fitted``, and ``bicycles``.
        augmentation: probabilities.
        steps: batches in the epoch.
        seed: of all randomness.
        epoch: number of the epoch.

    Raises:
        DatasetError: there is no such frame.
    """

    def __init__(
        self,
        sets: dict[str, PackedPairs],
        weights: dict[str, float],
        config: SceneConfig,
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
            usable = [i for i, sample in enumerate(frames.samples) if _is_usable(sample)]
            boost = [config.bicycles if "bicycle" in frames.samples[i].present else 1.0 for i in usable]
            self._frames += [(frames, i) for i in usable]
            shares += [weights[name] * more / sum(boost) for more in boost]
        if not shares:
            raise DatasetError(
                f"no frame of {', '.join(sets)} has both cameras and a box for every object; expected some to train on"
            )
        self._weight = np.array(shares) / sum(shares)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> list[BoxedFrame]:
        if number >= self.steps:
            raise IndexError(number)
        rng, generator = generators(self.seed, self.epoch, number)
        chosen = rng.choice(len(self._frames), self.config.frames, p=self._weight)
        return [self._frame(int(index), rng, generator) for index in chosen]

    def _frame(self, index: int, rng: np.random.Generator, generator: torch.Generator) -> BoxedFrame:
        frames, place = self._frames[index]
        pixels, sample = frames[place], frames.samples[place]
        scale = SIDE / max(pixels.shape[:2]) * float(np.exp(rng.uniform(*np.log(self.config.scale))))
        seen = fitted(pixels, scale)
        boxes, ignored = (_corners(given) * scale for given in (sample.boxes, sample.ignored))
        if rng.random() < 0.5:
            seen = np.ascontiguousarray(seen[:, ::-1])
            boxes, ignored = (_mirrored(corners, seen.shape[1]) for corners in (boxes, ignored))
        images = augment(*to_tensors(seen[None]), self.augmentation, generator)
        labels = np.array([LABELS.index(box.label) for box in sample.boxes], np.int64)
        wide = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf) >= _NARROWEST
        tensors = (
            torch.from_numpy(array) for array in (boxes[wide], labels[wide], np.concatenate([ignored, boxes[~wide]]))
        )
        return BoxedFrame(images.visible, images.thermal, *tensors)


def _is_usable(sample: Sample) -> bool:
    complete = sample.complete and sample.known == frozenset(LABELS)
    return sample.camera == "both" and complete and sample.present == {box.label for box in sample.boxes}


def _corners(boxes: tuple[Box, ...]) -> npt.NDArray[np.float32]:
    return np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], np.float32).reshape(-1, 4)


def _mirrored(corners: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    return np.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], 1)
