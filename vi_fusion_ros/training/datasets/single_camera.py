"""Labelled images of one camera alone: the other one counts as missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.training.datasets.base import (
    Box,
    DatasetError,
    PairDataset,
    Problem,
    Sample,
    image_files,
    read_image,
)
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS, canonical_label
from vi_fusion_ros.types import Image

IGNORE = "ignore"
"""Class of an object that counts neither way."""


class SingleCamera(PairDataset):
    """``frames.json`` with boxes, or a folder ``visible`` alone whose images show none of the labels.

    ``frames.json`` is a list of ``{"file", "camera", "complete", "day_night", "objects": [{"class", "box_xyxy"}]}``:
    ``camera`` is ``visible`` or ``thermal``; where ``complete`` is false there may be objects without a box. Objects of
    class ``ignore`` are other vehicles: places where they are, and the presence of what they may be, stay unknown.
    ``order`` is the 1-based rank in the set (the last folder of ``file``).

    Args:
        root: the folder that holds ``visible`` or ``thermal``.
        part: only the set of this name, or all.
    """

    def __init__(self, root: Path, part: str | None = None) -> None:
        super().__init__(root, part or root.name)
        table = root / "frames.json"
        if table.exists():
            ranks: dict[str, int] = {}
            for entry in sorted(_entries(table), key=lambda entry: entry["file"]):
                name = Path(entry["file"]).parent.name
                if part in (None, name):
                    ranks[name] = ranks.get(name, 0) + 1
                    self.samples.append(self._sample(entry, ranks[name]))
        else:
            for rank, (stem, path) in enumerate(image_files(root / "visible").items(), 1):
                empty = frozenset(LABELS)
                self.samples.append(Sample(stem, path, path, frozenset(), empty, order=rank, camera="visible"))

    def _sample(self, entry: dict[str, Any], order: int) -> Sample:
        path = self.root / entry["file"]
        drawn = self._boxes(entry.get("objects", ()), path)
        boxes, ignored = ([b for b in drawn if (b.label == IGNORE) == neither] for neither in (False, True))
        present = frozenset(box.label for box in boxes)
        complete = bool(entry.get("complete"))
        known = frozenset(LABELS) if complete else present
        if ignored:
            known = known & (present | {"person"})
        light = entry.get("day_night")
        return Sample(
            entry["file"],
            path,
            path,
            present,
            known,
            tuple(boxes),
            light if light in ILLUMINATION else None,
            order,
            camera=entry["camera"],
            ignored=tuple(ignored),
            complete=complete,
        )

    def _boxes(self, objects: list[dict[str, Any]], path: Path) -> list[Box]:
        boxes = []
        for item in objects:
            name, corners = str(item.get("class", "")), item.get("box_xyxy", ())
            label = IGNORE if name == IGNORE else canonical_label(name)
            if len(corners) != 4 or corners[2] <= corners[0] or corners[3] <= corners[1]:
                reason = f"box {corners} in frames.json is empty; expected x0 < x1, y0 < y1"
                self.problems.append(Problem(path, reason, "label"))
            elif label is not None:
                boxes.append(Box(label, *map(float, corners)))
        return boxes

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The one image, and zeros for the other camera."""
        if sample.camera == "visible":
            visible = read_image(sample.visible, cv2.IMREAD_COLOR)
            return visible, np.zeros(visible.shape[:2], np.uint8)
        thermal = read_image(sample.thermal, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
        return np.zeros((*thermal.shape, 3), np.uint8), thermal


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        wrong = [entry for entry in entries if entry["camera"] not in ("visible", "thermal") or not entry["file"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a list of frames with 'file' and 'camera' ({error})") from error
    if wrong:
        first = wrong[0]
        raise DatasetError(f"{path}: camera of {first['file']} is {first['camera']!r}; expected visible or thermal")
    return list(entries)
