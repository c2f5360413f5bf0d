"""Registered object crops: ``{day,night}/{visible,thermal}/{label}/{frame}_{box}.jpg``, same name in both."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Problem, Sample, pair_by_stem
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS


class CropsDataset(PairDataset):
    """A folder of object crops; every crop shows one labelled object, whose frame id is its ``order``.

    Args:
        root: the folder that holds ``day`` and ``night`` (either may be missing).
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "FLIR crops")
        found = [name for name in ILLUMINATION if (root / name).is_dir()]
        if not found:
            raise DatasetError(f"{root}: neither a day nor a night folder; expected {{day,night}}/{{visible,thermal}}")
        for light in found:
            for label in LABELS:
                self._add(light, label)
        self.samples.sort(key=lambda s: (s.order, s.name))

    def _add(self, light: str, label: str) -> None:
        visible, thermal = (self.root / light / kind / label for kind in ("visible", "thermal"))
        if not visible.is_dir() and not thermal.is_dir():
            return
        pairs, problems = pair_by_stem(visible, thermal)
        self.problems += problems
        for stem, left, right in pairs:
            frame = stem.split("_")[0]
            if not frame.isdigit():
                self.problems.append(
                    Problem(left, "name does not begin with a frame number; expected 00123_4.jpg", "label")
                )
                continue
            name = f"{light}/{label}/{stem}"
            only = frozenset({label})
            self.samples.append(Sample(name, left, right, only, frozenset(LABELS), (), light, int(frame)))
