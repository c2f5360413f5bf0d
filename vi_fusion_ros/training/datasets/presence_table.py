"""Registered pairs whose labels are a table: what each frame, or each scene, shows, without boxes."""

from __future__ import annotations

import csv
from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset, Problem, Sample, pair_by_stem
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS

TABLE = "presence.csv"
_SCENES = "{}_presence.csv"


class PresenceTable(PairDataset):
    """``visible/`` and ``thermal/`` with ``presence.csv``, or folders of scenes with ``FOLDER_presence.csv`` beside.

    The table has a column ``frame`` (file stem) or ``scene`` (folder below ``visible``), ``time`` (``day`` or
    ``night``; other words leave the illumination unknown), and one for each label: 1, 0, or empty where unsure.
    ``order`` is the number that a frame's name begins with, or for scenes their 1-based rank in sorted order.

    Args:
        root: the folder that holds ``visible`` and ``thermal``.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, root.name)
        self._table = root / TABLE if (root / TABLE).exists() else root.parent / _SCENES.format(root.name)
        if self._table.parent == root:
            self._frames(_rows(self._table, "frame"))
        else:
            self._scenes(_rows(self._table, "scene"))

    def _frames(self, rows: dict[str, dict[str, str]]) -> None:
        pairs, self.problems = pair_by_stem(self.root / "visible", self.root / "thermal")
        self._check(rows, {stem for stem, _, _ in pairs} | {problem.path.stem for problem in self.problems})
        for rank, (stem, visible, thermal) in enumerate(pairs, 1):
            number = "".join(c for c in stem if c.isdigit())
            self._add(stem, visible, thermal, rows.get(stem, {}), int(number) if number else rank)

    def _scenes(self, rows: dict[str, dict[str, str]]) -> None:
        if not (self.root / "visible").is_dir():
            raise DatasetError(f"{self.root / 'visible'}: no such folder; expected a folder of scenes")
        scenes = sorted(p.name for p in (self.root / "visible").iterdir() if p.is_dir())
        self._check(rows, set(scenes))
        for rank, scene in enumerate(scenes, 1):
            try:
                pairs, problems = pair_by_stem(self.root / "visible" / scene, self.root / "thermal" / scene)
            except DatasetError as error:
                pairs, problems = [], [Problem.of(error, "pairing")]
            self.problems += problems
            for stem, visible, thermal in pairs:
                self._add(f"{scene}/{stem}", visible, thermal, rows.get(scene, {}), rank)

    def _check(self, rows: dict[str, dict[str, str]], there: set[str]) -> None:
        """Note the rows that no image belongs to, and the words that are no answer."""
        for name, row in rows.items():
            if name not in there:
                self.problems.append(Problem(self._table, f"'{name}' has no images", "pairing"))
            for label in LABELS:
                if row.get(label) not in ("0", "1", "", None):
                    reason = f"{label} of '{name}' is '{row[label]}'; expected 1, 0 or nothing"
                    self.problems.append(Problem(self._table, reason, "label"))

    def _add(self, name: str, visible: Path, thermal: Path, row: dict[str, str], order: int) -> None:
        known = frozenset(label for label in LABELS if row.get(label) in ("0", "1"))
        present = frozenset(label for label in known if row[label] == "1")
        light = row.get("time")
        light = light if light in ILLUMINATION else None
        self.samples.append(Sample(name, visible, thermal, present, known, (), light, order))


def _rows(path: Path, key: str) -> dict[str, dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row[key]: row for row in csv.DictReader(file)}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: no CSV file ({error}); expected {key}, time, {', '.join(LABELS)}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a table of what is present") from error
    except KeyError as error:
        raise DatasetError(f"{path}: has no column {error}; expected {key}, time, {', '.join(LABELS)}") from error
