"""The text annotations of Piotr's toolbox, ``% bbGt version=3``: one object a line, name, x, y, width, height, ..."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.training.datasets.formats.annotations import Drawn, number, read_text

_HEADER = "% bbGt version="
_FIELDS = 5  # name and box; occlusion, visible box, ignore flag and angle follow


def read_bbgt(path: Path) -> list[Drawn]:
    """The objects of one image; none where the header stands alone.

    Raises:
        DatasetError: the file is missing, empty, lacks its header, or has a line that is no object.
    """
    header, *lines = read_text(path).splitlines()
    if not header.startswith(_HEADER):
        raise DatasetError(f"{path}: begins with '{header[:40]}'; expected '{_HEADER}3'")
    return [_drawn(path, line) for line in lines if line.strip()]


def _drawn(path: Path, line: str) -> Drawn:
    fields = line.split()
    if len(fields) < _FIELDS:
        raise DatasetError(f"{path}: line '{line[:40]}' has {len(fields)} fields; expected name, x, y, width, height")
    x, y, width, height = map(number, fields[1:_FIELDS])
    return Drawn(fields[0], x, y, x + width, y + height)
