"""COCO JSON: one file of ``images``, ``annotations`` and ``categories`` for a folder of images."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.training.datasets.formats.annotations import Drawn, number, read_text

_PARTS = ("images", "annotations", "categories")


class CocoImage(NamedTuple):
    """One image of a COCO file: its objects, and what the file says of the whole image (``extra_info``)."""

    drawn: list[Drawn]
    about: dict[str, Any]


def read_coco(path: Path) -> tuple[dict[str, CocoImage], list[str]]:
    """The images of a COCO file by file stem, and a clause for each entry that belongs to no image.

    Categories that the file does not declare are named by their number. An annotation without a usable ``bbox`` is
    kept with NaN corners.

    Raises:
        DatasetError: the file is missing, empty, no JSON, or no COCO file.
    """
    document = read_json(path)
    parts: list[Any] = [document.get(key) for key in _PARTS] if isinstance(document, dict) else [None]
    if not all(isinstance(part, list) for part in parts):
        raise DatasetError(f"{path}: not a COCO file; expected lists of {', '.join(_PARTS)}")
    images, annotations, categories = parts
    faults: list[str] = []
    by_id: dict[Any, CocoImage] = {}
    by_stem: dict[str, CocoImage] = {}
    for entry in _dicts(images, "image", ("id", "file_name"), faults):
        about = entry.get("extra_info")
        image = CocoImage([], about if isinstance(about, dict) else {})
        by_id[str(entry["id"])] = by_stem[PurePosixPath(str(entry["file_name"])).stem] = image
    named = {str(c["id"]): str(c["name"]) for c in _dicts(categories, "category", ("id", "name"), faults)}
    for entry in _dicts(annotations, "annotation", ("image_id", "category_id"), faults):
        owner = by_id.get(str(entry["image_id"]))
        category = str(entry["category_id"])
        if owner is None:
            faults.append(f"annotation {entry.get('id')} is of image {entry['image_id']}, which the file does not list")
        else:
            owner.drawn.append(_drawn(named.get(category, f"category {category}"), entry.get("bbox")))
    return by_stem, faults


def read_json(path: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        DatasetError: the file is missing, empty or no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not JSON ({error})") from error


def _dicts(entries: list[Any], what: str, keys: tuple[str, ...], faults: list[str]) -> Iterable[dict[str, Any]]:
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and all(key in entry for key in keys):
            yield entry
        else:
            faults.append(f"{what} number {index} lacks {' or '.join(keys)}")


def _drawn(name: str, bbox: Any) -> Drawn:
    values = bbox if isinstance(bbox, list) and len(bbox) == 4 else [None] * 4
    x, y, width, height = (number(str(value)) for value in values)
    return Drawn(name, x, y, x + width, y + height)
