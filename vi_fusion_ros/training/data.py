"""The parts of the data that a run uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vi_fusion_ros.training.config import DataConfig
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset
from vi_fusion_ros.training.datasets.box_crops import BoxCrops
from vi_fusion_ros.training.datasets.crops import CropsDataset
from vi_fusion_ros.training.datasets.layouts import LAYOUTS, guess_layout
from vi_fusion_ros.training.packed import PackedPairs

Part = Literal["train", "select", "test"]


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
    train, select = crops_of(config, "train"), crops_of(config, "select")
    train.require(classes=True)
    select.require(classes=True)
    frames = [frames_of(config, part) for part in ("train", "select")]
    packed = [None if part is None else PackedPairs(part, config.cache) for part in frames]
    return Splits(PackedPairs(train, config.cache), PackedPairs(select, config.cache), *packed)


def crops_of(config: DataConfig, part: Part) -> PairDataset:
    """One part of the object crops, from their folder or from the boxes of the frames."""
    if config.crops is not None:
        return _within(CropsDataset(config.crops), getattr(config, f"crops_{part}"))
    frames = frames_of(config, part)
    assert frames is not None  # DataConfig
    return BoxCrops(frames)


def frames_of(config: DataConfig, part: Part) -> PairDataset | None:
    """One part of the full frames, in whatever layout they lie; None where the configuration has none."""
    if config.frames is None:
        return None
    layout = config.frames_layout or guess_layout(config.frames, LAYOUTS)
    if layout not in LAYOUTS:
        raise DatasetError(f"data.frames_layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
    return _within(LAYOUTS[layout].open(config.frames), getattr(config, f"frames_{part}"))


def _within(dataset: PairDataset, ranges: tuple[tuple[int, int], ...]) -> PairDataset:
    """The samples whose order lies in one of the half-open ranges."""
    parts = [dataset.subset(low, high) for low, high in ranges]
    return type(dataset)._of(dataset, [sample for piece in parts for sample in piece.samples])
