"""What every dataset adapter offers: samples of paired images with labels, and a list of what is wrong with it.

An adapter is a subclass of ``PairDataset`` for one layout on disk. It fills ``samples`` and ``problems`` when it is
made, from names and annotation files only; image data is read later, one pair at a time, by ``read``. What can be
decided without decoding images (missing partner, empty annotation) becomes a problem then; what cannot (a corrupt
image) becomes one through ``readable``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.images import files
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.types import Image


class DatasetError(ValueError):
    """A dataset, or one pair of it, cannot be used; the message says which file and what was expected."""


@dataclass(frozen=True)
class Box:
    """A labelled object.

    Attributes:
        label: a word of ``labels.LABELS``.
        x0: left edge, pixels of the image that it is drawn in (see ``Sample``), x to the right.
        y0: upper edge, y downward.
        x1: right edge, exclusive.
        y1: lower edge, exclusive.
    """

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Sample:
    """One pair and what is known about it.

    Attributes:
        name: unique in its dataset, for messages.
        visible: path of the visible image (adapters without files on disk may use any unique path).
        thermal: path of the thermal image.
        present: labels known to be in the image.
        known: labels whose presence or absence is known; others are left out of the loss. Holds ``present``.
        boxes: objects with a place in the visible image, where the dataset has them.
        illumination: a word of ``labels.ILLUMINATION``, or None where unknown.
        order: position on the drive (frame id), for splits by contiguous blocks; -1 where there is none.
        registered: whether a pixel of the thermal image shows what the same pixel of the visible one does. Where not,
            sizes and fields of view may differ, and ``PairDataset.read`` refuses the pair.
        thermal_boxes: objects with a place in the thermal image, where it is not registered and has its own.
        camera: ``both``, or the one camera that there is an image of; the other's pixels are then zeros.
        ignored: places whose objects count neither way.
        complete: whether every object of every known label has a box, where the sample has boxes at all.
    """

    name: str
    visible: Path
    thermal: Path
    present: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    boxes: tuple[Box, ...] = ()
    illumination: str | None = None
    order: int = -1
    registered: bool = True
    thermal_boxes: tuple[Box, ...] = ()
    camera: str = "both"
    ignored: tuple[Box, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class Problem:
    """Something of a dataset that cannot be used.

    Attributes:
        path: the file at fault.
        reason: one clause: what was found, what was expected.
        kind: ``pairing``, ``image`` or ``label``.
    """

    path: Path
    reason: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    @classmethod
    def of(cls, error: DatasetError, kind: str) -> Problem:
        """The problem that an error of this package tells of; its text begins with the path and a colon."""
        path, _, reason = str(error).partition(": ")
        return cls(Path(path), reason, kind)


@dataclass
class PairDataset:
    """Base of the adapters.

    Attributes:
        root: the dataset's folder (or file).
        name: what to call it in reports and model cards.
        samples: usable pairs, in a stable order.
        problems: what was left out, and why.
        notes: sentences about the dataset itself that its user should know, and that no repair would change.
    """

    root: Path
    name: str
    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, sample: Sample) -> tuple[Image, Image]:
        """Read one registered pair.

        Returns:
            Visible (H, W, 3) uint8 in BGR order, and thermal (H, W) uint8, uint16 or float32, of the same size.

        Raises:
            DatasetError: a file is missing or corrupt, or the pair is not registered.
        """
        if not sample.registered:
            raise DatasetError(
                f"{sample.visible}: its thermal partner is not registered to it; expected a registered pair"
            )
        return self.read_views(sample)

    def read_views(self, sample: Sample) -> tuple[Image, Image]:
        """Read one pair as the cameras saw it, registered or not.

        Returns:
            As ``read``; where the pair is not registered, sizes may differ.

        Raises:
            DatasetError: a file is missing or corrupt, or a pair that should be registered has two sizes.
        """
        visible, thermal = self.decode(sample)
        if thermal.dtype not in (np.uint8, np.uint16, np.float32):
            raise DatasetError(f"{sample.thermal}: pixels of type {thermal.dtype}; expected 8 or 16 bits, or float32")
        if sample.registered and visible.shape[:2] != thermal.shape[:2]:
            sizes = f"{visible.shape[1]}×{visible.shape[0]} and {thermal.shape[1]}×{thermal.shape[0]}"
            raise DatasetError(f"{sample.visible}: visible and thermal are {sizes}; expected the same size")
        return visible, thermal

    def containers(self) -> list[Path]:
        """The files that hold the images, where the samples' paths are none themselves."""
        return []

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The pixels of a pair, unchecked; what an adapter without image files replaces."""
        visible = read_image(sample.visible, cv2.IMREAD_COLOR)
        return visible, read_image(sample.thermal, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)

    def readable(self) -> Iterator[tuple[Sample, Image, Image]]:
        """Every pair that ``read`` can read; what it cannot is noted in ``problems`` and left out."""
        return self._each(self.read)

    def viewable(self) -> Iterator[tuple[Sample, Image, Image]]:
        """Every pair that ``read_views`` can read; what it cannot is noted in ``problems`` and left out."""
        return self._each(self.read_views)

    def _each(self, read: Callable[[Sample], tuple[Image, Image]]) -> Iterator[tuple[Sample, Image, Image]]:
        for sample in self.samples:
            try:
                yield sample, *read(sample)
            except DatasetError as error:
                self.problems.append(Problem.of(error, "image"))

    def subset(self, low: int | None = None, high: int | None = None) -> PairDataset:
        """The samples whose ``order`` is at least ``low`` and below ``high``; same type, shared problems."""
        kept = [s for s in self.samples if (low is None or s.order >= low) and (high is None or s.order < high)]
        return type(self)._of(self, kept)

    @classmethod
    def _of(cls, other: PairDataset, samples: list[Sample]) -> PairDataset:
        made = cls.__new__(cls)
        made.__dict__.update(other.__dict__)
        made.samples = samples
        return made

    def counts(self) -> Counter[str]:
        """How many samples show each label."""
        return Counter(label for sample in self.samples for label in sample.present)

    def require(self, *, classes: bool = False) -> None:
        """Raise ``DatasetError`` where there is nothing to use, or (``classes``) where a label never occurs."""
        if not self.samples:
            first = f"; first problem: {self.problems[0]}" if self.problems else ""
            raise DatasetError(f"{self.root}: no usable image pair found for a {self.name} dataset{first}")
        missing = [label for label in LABELS if not self.counts()[label]] if classes else []
        if missing:
            raise DatasetError(f"{self.root}: no sample of {', '.join(missing)}; every label needs at least one")


def read_image(path: Path, flags: int) -> Image:
    """Read one image file, as every other command does, and give it the channels that are asked for.

    Args:
        path: the file.
        flags: of OpenCV's: ``IMREAD_COLOR``, ``IMREAD_ANYDEPTH | IMREAD_GRAYSCALE`` or ``IMREAD_UNCHANGED``. The depth
            stays as it is in any case.

    Returns:
        (H, W) or (H, W, 3) BGR.

    Raises:
        DatasetError: the file is missing, empty or no image, or a colour image of more than 8 bits is asked for.
    """
    try:
        image = files.read_image(path)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    if flags == cv2.IMREAD_UNCHANGED:
        return image
    if flags == cv2.IMREAD_COLOR:
        if image.dtype != np.uint8:
            raise DatasetError(f"{path}: pixels of type {image.dtype}; expected 8 bits in a visible image")
        return files.to_colour(image)
    return files.to_grey(image)


def image_files(folder: Path) -> dict[str, Path]:
    """Images directly inside ``folder``, by stem, in natural order.

    Raises:
        DatasetError: the folder does not exist, or two images have one stem.
    """
    try:
        return files.images_by_stem(folder)
    except ValueError as error:
        raise DatasetError(str(error)) from error


def pair_by_stem(visible: Path, thermal: Path) -> tuple[list[tuple[str, Path, Path]], list[Problem]]:
    """Pair the images of two folders by file stem.

    Returns:
        ``(stem, visible path, thermal path)`` in sorted order, and one problem per image without partner.
    """
    left, right = image_files(visible), image_files(thermal)
    pairs = [(stem, left[stem], right[stem]) for stem in left if stem in right]
    problems = [Problem(p, f"no thermal partner in {thermal}", "pairing") for s, p in left.items() if s not in right]
    problems += [Problem(p, f"no visible partner in {visible}", "pairing") for s, p in right.items() if s not in left]
    return pairs, problems
