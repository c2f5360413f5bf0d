"""The registered pairs of a dataset, for evaluations that take any of its layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.prediction import network_view, open_dataset
from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.training.datasets import layouts
from vi_fusion_ros.training.datasets.base import PairDataset

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PairSet:
    """Some pairs of a dataset.

    Attributes:
        layout: key of ``layouts.REGISTERED``.
        root: the dataset's folder.
        indices: of the chosen samples.
    """

    layout: str
    root: Path
    indices: tuple[int, ...]

    @classmethod
    def find(cls, root: Path, layout: str | None = None, limit: int | None = None) -> PairSet:
        """The pairs in a folder.

        Args:
            root: the dataset's folder.
            layout: guessed from the folders where not given.
            limit: take at most so many, spread evenly.

        Raises:
            ValueError: there is no such folder, its layout is not known, or it holds no pair.
        """
        name = layout or layouts.guess_layout(root, layouts.REGISTERED)
        dataset = open_dataset(name, root)
        dataset.require()
        count = len(dataset) if limit is None else min(limit, len(dataset))
        return cls(name, root, tuple(k * len(dataset) // count for k in range(count)))

    @property
    def is_crops(self) -> bool:
        """Whether the pairs are crops of one object each, which say nothing about fusion."""
        return self.layout == "crops"

    def open(self) -> PairDataset:
        """The whole dataset."""
        return open_dataset(self.layout, self.root)


class PairView:
    """One pair as the network gets it, and the images that came before it.

    Attributes:
        name: of the sample.
        visible: (H, W, 3) uint8 BGR.
        thermal: (H, W) uint8, tone mapped on its own where it has more bits.

    Raises:
        DatasetError: it cannot be read.
    """

    def __init__(self, pairs: PairSet, index: int) -> None:
        self._pairs, self._index = pairs, index
        self._images: dict[int, tuple[Image8, Image8]] = {}
        self.name = pairs.open().samples[index].name
        self.visible, self.thermal = self._read(index)

    def earlier(self, camera: str, steps: int | None) -> Image8:
        """The image of ``camera`` so many pairs earlier, or the first one (None); never of another sequence.

        Pairs whose visible images lie in one folder are a sequence. An image of another size is resized.
        """
        samples = self._pairs.open().samples
        folder, first = samples[self._index].visible.parent, self._index
        while first and samples[first - 1].visible.parent == folder:
            first -= 1
        image = self._read(first if steps is None else max(first, self._index - steps))[camera == "thermal"]
        size = (self.thermal.shape[1], self.thermal.shape[0])
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _read(self, index: int) -> tuple[Image8, Image8]:
        if index not in self._images:
            self._images[index] = self._decoded(index)
        return self._images[index]

    def _decoded(self, index: int) -> tuple[Image8, Image8]:
        dataset = self._pairs.open()
        visible, thermal = dataset.read(dataset.samples[index])
        if thermal.dtype != np.uint8:
            thermal = ToneMapper()(thermal)
        views = (network_view(self._pairs.layout, image) for image in (visible, thermal))
        visible, thermal = (image.astype(np.uint8, copy=False) for image in views)
        return visible, thermal
