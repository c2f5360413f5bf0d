"""LLVIP and M3FD: registered frames with one VOC annotation file for both images of a pair."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError, Sample
from vi_fusion_ros.training.datasets.formats.annotations import UNKNOWN, AnnotatedPairs
from vi_fusion_ros.training.datasets.formats.voc import read_voc


class _DrawnPairs(AnnotatedPairs):
    """Registered pairs and their VOC files; ``order`` is the rank of the frame.

    Args:
        root: the dataset's folder.
        name: key of ``labels.DATASET_NAMES``.
        annotations: name of the folder of VOC files.
    """

    def __init__(self, root: Path, name: str, annotations: str) -> None:
        super().__init__(root, name)
        self._annotations = root / annotations
        self._annotated = self._annotations.is_dir()
        if not self._annotated:
            self.notes.append(f"it has no {annotations} folder, so all labels are unknown")

    def _add(self, visible_folder: Path, thermal_folder: Path, prefix: str) -> None:
        for stem, visible, thermal in self.pairs(visible_folder, thermal_folder):
            found = self.labelled(self._annotations / f"{stem}.xml", read_voc) if self._annotated else UNKNOWN
            name, order = prefix + stem, len(self.samples)
            self.samples.append(Sample(name, visible, thermal, found.present, found.known, found.boxes, order=order))


class LlvipDataset(_DrawnPairs):
    """LLVIP: ``{visible,infrared}/{train,test}/010001.jpg`` and ``Annotations/010001.xml``; only people are annotated.

    Args:
        root: the folder that holds ``visible``, ``infrared`` and ``Annotations``.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "LLVIP", "Annotations")
        parts = [p for p in ("train", "test") if (root / "visible" / p).is_dir() or (root / "infrared" / p).is_dir()]
        if not parts:
            raise DatasetError(f"{root}: no train or test folders; expected {{visible,infrared}}/{{train,test}}")
        for part in parts:
            self._add(root / "visible" / part, root / "infrared" / part, f"{part}/")


class M3fdDataset(_DrawnPairs):
    """M3FD: ``Vis/00000.png``, ``Ir/00000.png`` and ``Annotation/00000.xml``; bicycles are not annotated.

    Args:
        root: the folder that holds ``Vis``, ``Ir`` and ``Annotation``.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "M3FD", "Annotation")
        if not (root / "Vis").is_dir() and not (root / "Ir").is_dir():
            raise DatasetError(f"{root}: neither Vis nor Ir; expected {{Vis,Ir}}/00000.png and Annotation/00000.xml")
        self._add(root / "Vis", root / "Ir", "")
