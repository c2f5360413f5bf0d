"""Plain paired folders: ``visible/**`` and ``thermal/**`` with the same relative paths. No labels."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.training.datasets.base import PairDataset, Problem, Sample, image_files, pair_by_stem


class PairedFolders(PairDataset):
    """Unlabelled pairs; sub-folders (scenes) of ``visible`` and ``thermal`` are paired by name.

    Args:
        root: the folder that holds ``visible`` and ``thermal``.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "paired folders")
        image_files(root / "visible")
        image_files(root / "thermal")
        scenes = sorted({p.name for kind in ("visible", "thermal") for p in (root / kind).iterdir() if p.is_dir()})
        for scene in ("", *scenes):
            visible, thermal = root / "visible" / scene, root / "thermal" / scene
            if not visible.is_dir() or not thermal.is_dir():
                self.problems.append(
                    Problem(thermal if visible.is_dir() else visible, "scene has no such folder", "pairing")
                )
                continue
            pairs, problems = pair_by_stem(visible, thermal)
            self.problems += problems
            for stem, left, right in pairs:
                name = f"{scene}/{stem}" if scene else stem
                self.samples.append(Sample(name, left, right, order=len(self.samples)))
