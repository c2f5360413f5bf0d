"""Labelled images of one camera alone: the other one counts as missing."""

from __future__ import annotations

import json
import math
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

CAMERAS = ("visible", "thermal")

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
        boxes, ignored, complete = [], [], bool(entry.get("complete"))
        for item in entry.get("objects", ()):
            name, corners = _object(item)
            label = canonical_label(name)
            if not corners:
                self.problems.append(
                    Problem(path, f"object {item}; expected a class and a box x0, y0, x1, y1", "label")
                )
                complete = False
            elif label is not None:
                boxes.append(Box(label, *corners))
            elif name == IGNORE:
                ignored.append(Box(IGNORE, *corners))
        present = frozenset(box.label for box in boxes)
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

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The one image, and zeros for the other camera."""
        if sample.camera == "visible":
            visible = read_image(sample.visible, cv2.IMREAD_COLOR)
            return visible, np.zeros(visible.shape[:2], np.uint8)
        thermal = read_image(sample.thermal, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
        return np.zeros((*thermal.shape, 3), np.uint8), thermal


def _object(item: Any) -> tuple[str, tuple[float, ...]]:
    """The class of an object and its corners; none where they make no box."""
    try:
        x0, y0, x1, y1 = corners = tuple(float(n) for n in item["box_xyxy"])
        return str(item["class"]), corners if all(map(math.isfinite, corners)) and x0 < x1 and y0 < y1 else ()
    except (KeyError, TypeError, ValueError):
        return "", ()


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path}: not a list of frames with 'file' and 'camera' ({error})") from error
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise DatasetError(f"{path}: not a list of frames with 'file' and 'camera', which is visible or thermal")
    return entries


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("file"), str) and entry.get("camera") in CAMERAS
