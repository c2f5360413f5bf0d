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
    Frames and scenes without a row are unknown. ``order`` is the number that the digits of a frame's name make, or for
    scenes their 1-based rank in sorted order.

    Args:
        root: the folder that holds ``visible`` and ``thermal``.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, root.name)
        scenes = root.parent / _SCENES.format(root.name)
        if (root / TABLE).exists():
            self._frames(self._rows(root / TABLE, "frame"))
        else:
            self._scenes(self._rows(scenes, "scene"))

    def _frames(self, rows: dict[str, dict[str, str]]) -> None:
        pairs, problems = pair_by_stem(self.root / "visible", self.root / "thermal")
        self.problems += problems
        for rank, (stem, visible, thermal) in enumerate(pairs, 1):
            number = "".join(c for c in stem if c.isdigit())
            self._add(stem, visible, thermal, rows.get(stem, {}), int(number) if number else rank)

    def _scenes(self, rows: dict[str, dict[str, str]]) -> None:
        visible = self.root / "visible"
        if not visible.is_dir():
            raise DatasetError(f"{visible}: no such folder; expected a folder of scenes")
        for rank, scene in enumerate(sorted(p.name for p in visible.iterdir() if p.is_dir()), 1):
            pairs, problems = pair_by_stem(self.root / "visible" / scene, self.root / "thermal" / scene)
            self.problems += problems
            for stem, visible, thermal in pairs:
                self._add(f"{scene}/{stem}", visible, thermal, rows.get(scene, {}), rank)

    def _add(self, name: str, visible: Path, thermal: Path, row: dict[str, str], order: int) -> None:
        known = frozenset(label for label in LABELS if row.get(label) in ("0", "1"))
        present = frozenset(label for label in known if row[label] == "1")
        light = row.get("time")
        light = light if light in ILLUMINATION else None
        self.samples.append(Sample(name, visible, thermal, present, known, (), light, order))

    def _rows(self, path: Path, key: str) -> dict[str, dict[str, str]]:
        rows = _read(path, key)
        for name, row in rows.items():
            wrong = {label: row[label] for label in LABELS if row.get(label) not in (None, "", "0", "1")}
            for label, value in wrong.items():
                self.problems.append(
                    Problem(path, f"{label} of {name} is '{value}'; expected 1, 0 or nothing", "label")
                )
        return rows


def _read(path: Path, key: str) -> dict[str, dict[str, str]]:
    """The rows of a table by the column ``key``."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if key not in (table.fieldnames or ()):
                raise DatasetError(f"{path}: has no column '{key}'; expected {key}, time, {', '.join(LABELS)}")
            return {row[key]: row for row in table}
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a table of what is present") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV table in UTF-8 ({error})") from error
