"""The parts of the data that a run uses."""

from __future__ import annotations

from dataclasses import dataclass

from vi_fusion_ros.training.config import DataConfig
from vi_fusion_ros.training.datasets.base import PairDataset
from vi_fusion_ros.training.datasets.crops import CropsDataset
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset
from vi_fusion_ros.training.packed import PackedPairs


@dataclass(frozen=True)
class Splits:
    """Packed parts; the ``test`` parts are read only by reports.

    Attributes:
        crops_train: to train on.
        crops_select: to choose by.
        frames_train: to train on, None where the configuration has no frames.
        frames_select: to choose by.
    """

    crops_train: PackedPairs
    crops_select: PackedPairs
    frames_train: PackedPairs | None
    frames_select: PackedPairs | None


def load_splits(config: DataConfig) -> Splits:
    """Read, check and pack the training and selection parts.

    Raises:
        DatasetError: a folder is missing, a part is empty or lacks a label.
    """
    crops = CropsDataset(config.crops)
    part(crops, config.crops_train).require(classes=True)
    part(crops, config.crops_select).require(classes=True)
    frames_train = frames_select = None
    if config.frames is not None:
        frames = RoadSceneDataset(config.frames)
        frames_train = PackedPairs(part(frames, config.frames_train), config.cache)
        frames_select = PackedPairs(part(frames, config.frames_select), config.cache)
    return Splits(
        PackedPairs(part(crops, config.crops_train), config.cache),
        PackedPairs(part(crops, config.crops_select), config.cache),
        frames_train,
        frames_select,
    )


def part(dataset: PairDataset, ranges: tuple[tuple[int, int], ...]) -> PairDataset:
    """The samples whose order lies in one of the half-open ranges."""
    parts = [dataset.subset(low, high) for low, high in ranges]
    return type(dataset)._of(dataset, [sample for piece in parts for sample in piece.samples])
