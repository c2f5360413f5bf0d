"""Pairs from a dataset or a bag as a network sees them: to calibrate and verify engines on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.cli.train.dataset import all_layouts
from vi_fusion_ros.engines.compile.verify import BytePair
from vi_fusion_ros.sources.synthetic import PERIOD_S, SyntheticScene
from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset
from vi_fusion_ros.training.datasets.layouts import guess_layout
from vi_fusion_ros.types import Image

Size = tuple[int, int]


def open_dataset(path: Path, layout: str | None = None) -> PairDataset:
    """The dataset, or bag, at a path.

    Raises:
        DatasetError: there is none, or it has no usable pair; one sentence.
    """
    layouts = all_layouts()
    dataset = layouts[layout or guess_layout(path, layouts)].open(path)
    dataset.require()
    return dataset


def camera_pairs(dataset: PairDataset, count: int, size: Size | None = None) -> list[BytePair]:
    """Pairs spread evenly over a dataset.

    Args:
        dataset: of registered pairs.
        count: at most this many.
        size: width and height to stretch them to, pixels; None: as they are.

    Raises:
        DatasetError: none of them can be read; one sentence.
    """
    chosen = {round(index) for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset)))}
    problem: DatasetError | None = None
    pairs = []
    for index in sorted(chosen):
        try:
            pairs.append(to_pair(*dataset.read(dataset.samples[index]), size))
        except DatasetError as error:
            problem = error
    if not pairs and problem is not None:
        raise problem
    return pairs


def drawn_pairs(size: Size) -> list[BytePair]:
    """Pairs of the synthetic street, by day and by night."""
    scene = SyntheticScene(*size)
    times = (0.3 * PERIOD_S, 0.7 * PERIOD_S, 1.3 * PERIOD_S, 1.7 * PERIOD_S)
    return [to_pair(scene.visible(time), scene.thermal_8_bit(time)) for time in times]


def to_pair(visible: Image, thermal: Image, size: Size | None = None) -> BytePair:
    """Visible (H, W, 3) BGR and thermal (H, W) of any depth to planes, uint8, stretched to ``size``."""
    grey = thermal if thermal.dtype == np.uint8 else _toned(thermal)
    if size is not None:
        visible, grey = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (visible, grey))
    return np.ascontiguousarray(visible[..., ::-1].transpose(2, 0, 1)[None]), grey[None, None]


def padded(pairs: list[BytePair], multiple: int) -> Iterator[BytePair]:
    """Pairs with their last row and column repeated until both sides are multiples."""
    for pair in pairs:
        height, width = pair[0].shape[2:]
        extra = ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple))
        visible, thermal = (np.pad(plane, extra, mode="edge") for plane in pair)
        yield visible, thermal


def _toned(thermal: Image) -> Image:
    mapper = ToneMapper()
    mapper.observe(thermal)
    return mapper.render(thermal)
