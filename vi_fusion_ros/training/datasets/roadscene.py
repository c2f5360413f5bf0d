"""RoadScene frames: registered ``visible/`` and ``thermal/`` with ``frames.json``, or the folders as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vi_fusion_ros.training.datasets.base import Box, DatasetError, PairDataset, Problem, Sample, pair_by_stem
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS, canonical_label

PUBLISHED = ("crop_LR_visible", "cropinfrared")
"""The folders of registered visible and thermal frames in the published dataset, which has no labels."""


class RoadSceneDataset(PairDataset):
    """RoadScene; ``order`` is the 1-based rank of the sorted frames.

    ``frames.json`` is a list of ``{"frame", "day_night", "labelled", "objects": [{"class", "box_xyxy"}]}``. Frames with
    ``labelled: false``, or without an entry, have unknown labels, not empty ones.

    Args:
        root: the folder that holds ``visible`` and ``thermal``, or the published folders.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root, "RoadScene")
        folders = PUBLISHED if (root / PUBLISHED[0]).is_dir() else ("visible", "thermal")
        pairs, self.problems = pair_by_stem(*(root / folder for folder in folders))
        entries = _entries(root / "frames.json")
        for order, (stem, visible, thermal) in enumerate(pairs, 1):
            self.samples.append(self._sample(order, stem, visible, thermal, entries.get(stem, {})))

    def _sample(self, order: int, stem: str, visible: Path, thermal: Path, entry: dict[str, Any]) -> Sample:
        labelled = bool(entry.get("labelled"))
        light = entry.get("day_night")
        boxes = tuple(self._boxes(entry.get("objects", ()), visible)) if labelled else ()
        return Sample(
            stem,
            visible,
            thermal,
            frozenset(box.label for box in boxes),
            frozenset(LABELS) if labelled else frozenset(),
            boxes,
            light if light in ILLUMINATION else None,
            order,
        )

    def _boxes(self, objects: list[dict[str, Any]], path: Path) -> list[Box]:
        boxes = []
        for item in objects:
            label = canonical_label(str(item.get("class", "")))
            corners = item.get("box_xyxy", ())
            if len(corners) != 4 or corners[2] <= corners[0] or corners[3] <= corners[1]:
                reason = f"box {corners} in frames.json is empty; expected x0 < x1, y0 < y1"
                self.problems.append(Problem(path, reason, "label"))
            elif label is not None:
                boxes.append(Box(label, *map(float, corners)))
        return boxes


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        return {entry["frame"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a list of frames with a 'frame' key ({error})") from error
