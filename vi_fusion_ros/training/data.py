"""The parts of the data that a run uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import DataConfig, SetConfig
from vi_fusion_ros.training.datasets.archives import alone_in, unpack
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset
from vi_fusion_ros.training.datasets.layouts import LAYOUTS, guess_layout
from vi_fusion_ros.training.datasets.single_camera import SingleCamera
from vi_fusion_ros.training.pseudo_labels.boxes import add_boxes

Part = Literal["train", "select", "test"]


@dataclass(frozen=True)
class Splits:
    """Packed parts; the ``test`` parts are read only by reports.

    Attributes:
        train: frames to train on, by the name of their set.
        select: frames to choose by.
        crops_train: object crops to train on, None where the configuration has none.
        crops_select: object crops to choose by.
    """

    train: dict[str, PackedPairs]
    select: dict[str, PackedPairs]
    crops_train: PackedPairs | None
    crops_select: PackedPairs | None


def load_splits(config: DataConfig) -> Splits:
    """Read, check and pack the training and selection parts. Here alone frames get boxes of a detector.

    Raises:
        DatasetError: a folder is missing, no frame is left to train on, or the detector is needed and not there.
    """
    train, select = frames_of(config, "train"), frames_of(config, "select")
    if not train:
        raise DatasetError(f"{data_root(config)}: no frame of any set lies in a train range; expected some")
    for name, frames in train.items():
        if config.sets[name].pseudo_boxes:
            try:
                add_boxes(frames)
            except ModuleNotFoundError as error:
                raise DatasetError(f"{config.sets[name].path}: {error}") from error
    return Splits(train, select, crops_of(config, "train"), crops_of(config, "select"))


def frames_of(config: DataConfig, part: Part) -> dict[str, PackedPairs]:
    """One part of every set of full frames that has one, packed, with the labels that the data have."""
    parts = {name: part_of(config, entry, part) for name, entry in config.sets.items()}
    return {name: PackedPairs(dataset, config.cache) for name, dataset in parts.items() if dataset is not None}


def of_both_cameras(sets: dict[str, PackedPairs]) -> dict[str, PackedPairs]:
    """The sets of both cameras."""
    return {name: frames for name, frames in sets.items() if frames.camera == "both"}


def crops_of(config: DataConfig, part: Part) -> PackedPairs | None:
    """One part of the object crops, packed."""
    dataset = None if config.crops is None else part_of(config, config.crops, part)
    return None if dataset is None else PackedPairs(dataset, config.cache)


def part_of(config: DataConfig, entry: SetConfig, part: Part) -> PairDataset | None:
    """The samples of one set whose order lies in the ranges of ``part``; None where there are none.

    Raises:
        DatasetError: the whole set is empty, or its folder or layout is wrong.
    """
    ranges = getattr(entry, part)
    if not ranges:
        return None
    dataset = open_set(config, entry)
    dataset.require()
    parts = [dataset.subset(low, high) for low, high in ranges]
    samples = [sample for piece in parts for sample in piece.samples]
    return type(dataset)._of(dataset, samples) if samples else None


def open_set(config: DataConfig, entry: SetConfig) -> PairDataset:
    """A whole set, in whatever layout it lies.

    Raises:
        DatasetError: no such folder or archive, or no such layout.
    """
    folder = _folder(config, entry.path)
    layout = entry.layout or guess_layout(folder, LAYOUTS)
    if layout not in LAYOUTS:
        raise DatasetError(f"{entry.path}: its layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
    return SingleCamera(folder, entry.part) if entry.part is not None else LAYOUTS[layout].open(folder)


def data_root(config: DataConfig) -> Path:
    """The folder that the sets' paths are relative to."""
    return Path(os.environ.get("VI_FUSION_DATA") or config.root)


def _folder(config: DataConfig, path: Path) -> Path:
    folder = data_root(config) / path
    archive = folder.with_name(folder.name + ".zip")
    if folder.is_dir() or not archive.is_file():
        return folder
    target = config.cache / "unpacked" / folder.name
    if not target.is_dir():
        with alone_in(config.cache):
            if not target.is_dir():  # another run may have unpacked it meanwhile
                unpack(archive, target)
    return target
