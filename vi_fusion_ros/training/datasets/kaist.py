"""KAIST Multispectral Pedestrian: ``[images/]set00/V000/{visible,lwir}/I00000.jpg``, registered by a beam splitter."""

from __future__ import annotations

import re
from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError, Problem, Sample
from vi_fusion_ros.training.datasets.formats.annotations import UNKNOWN, AnnotatedPairs
from vi_fusion_ros.training.datasets.formats.bbgt import read_bbgt

_NIGHT = frozenset({3, 4, 5, 9, 10, 11})
"""Sets taken at night, from the dataset's own list; those from 0 to 11 that are not here were taken by day."""


def set_folders(root: Path) -> list[Path]:
    """The ``setNN`` folders of a KAIST dataset, sorted; none where there is no such dataset."""
    return sorted(p for base in (root, root / "images") for p in base.glob("set[0-9][0-9]") if p.is_dir())


class KaistDataset(AnnotatedPairs):
    """Frames of all sets, with ``annotations/set00/V000/I00000.txt`` where there is one.

    Only people are annotated: cars are unknown everywhere, and bicycles where nobody is seen riding one. ``order`` is
    set, video and frame in one number, ``SSVVVFFFFF``.

    Args:
        root: the folder that holds the sets, or ``images`` with the sets in it.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "KAIST")
        videos = [video for folder in set_folders(root) for video in sorted(folder.glob("V[0-9][0-9][0-9]"))]
        if not videos:
            raise DatasetError(f"{root}: no set00/V000 folders; expected set00/V000/{{visible,lwir}}/I00000.jpg")
        self._annotations: Path | None = root / "annotations"
        if not (root / "annotations").is_dir():
            self._annotations = None
            self.notes.append("it has no annotations folder, so all labels are unknown")
        for video in videos:
            self._add(video)

    def _add(self, video: Path) -> None:
        part = f"{video.parent.name}/{video.name}"
        number = int(video.parent.name[3:])
        for stem, visible, thermal in self.pairs(video / "visible", video / "lwir"):
            if not re.fullmatch(r"I\d{5}", stem):
                self.problems.append(Problem(visible, "name is no frame of KAIST; expected I00000.jpg", "pairing"))
                continue
            found = UNKNOWN
            if self._annotations is not None:
                found = self.labelled(self._annotations / part / f"{stem}.txt", read_bbgt)
            light = ("night" if number in _NIGHT else "day") if number < 12 else None
            order = (number * 1000 + int(video.name[1:])) * 100_000 + int(stem[1:])
            sample = Sample(f"{part}/{stem}", visible, thermal, found.present, found.known, found.boxes, light, order)
            self.samples.append(sample)
