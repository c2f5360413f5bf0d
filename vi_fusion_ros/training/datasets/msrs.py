"""MSRS: ``{train,test}/{vi,ir,Segmentation_labels}/00001D.png``, registered; masks become presence labels."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError, Problem, Sample
from vi_fusion_ros.training.datasets.formats.annotations import UNKNOWN, AnnotatedPairs, Labelling
from vi_fusion_ros.training.datasets.formats.masks import read_mask

CLASSES = ("unlabelled", "car", "person", "bike", "curve", "car stop", "guardrail", "color cone", "bump")
"""Class of each mask value, as in MFNet, whose frames these are."""

_LIGHT = {"D": "day", "N": "night"}


class MsrsDataset(AnnotatedPairs):
    """Frames of both parts. A label is present where at least one pixel of the mask has it; masks give no boxes.

    The last letter of a name tells day (``D``) from night (``N``); ``order`` is the number before it.

    Args:
        root: the folder that holds ``train`` and ``test``, or one of the two.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "MSRS")
        parts = [part for part in (root, root / "train", root / "test") if is_part(part)]
        if not parts:
            raise DatasetError(f"{root}: no vi and ir folders; expected {{train,test}}/{{vi,ir,Segmentation_labels}}")
        for part in parts:
            self._add(part)

    def _add(self, part: Path) -> None:
        masks = part / "Segmentation_labels"
        if not masks.is_dir():
            self.notes.append(f"{part.name} has no Segmentation_labels folder, so its labels are unknown")
        for stem, visible, thermal in self.pairs(part / "vi", part / "ir"):
            found = self._labels(masks / f"{stem}.png") if masks.is_dir() else UNKNOWN
            order = int(stem[:-1]) if stem[:-1].isdigit() else -1
            light = _LIGHT.get(stem[-1])
            name = f"{part.name}/{stem}"
            self.samples.append(Sample(name, visible, thermal, found.present, found.known, (), light, order))

    def _labels(self, mask: Path) -> Labelling:
        try:
            values = read_mask(mask)
        except DatasetError as error:
            self.problems.append(Problem.of(error, "label"))
            return UNKNOWN
        if max(values) >= len(CLASSES):
            reason = f"mask value {max(values)}; expected class numbers from 0 to {len(CLASSES) - 1}"
            self.problems.append(Problem(mask, reason, "label"))
            return UNKNOWN
        present = frozenset(label for value in values for label in self.names.shows.get(CLASSES[value], ()))
        return Labelling(present, self.names.annotated)


def is_part(folder: Path) -> bool:
    """Whether a folder is one part of the dataset."""
    return (folder / "vi").is_dir() and (folder / "ir").is_dir()
