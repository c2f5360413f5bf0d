#!/usr/bin/env python3
"""Scenes as all fusion methods see them, in one JPEG: scripts/methods_picture.py OUT.jpg SET:FRAME [SET:FRAME ...].

SET is a folder with ``visible`` and ``thermal``, FRAME a file stem in both. A scene takes two lines of tiles: the
sources, our model, then each method that can run here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from screenshot import write_small

from vi_fusion_ros.drawing import grey8, titled
from vi_fusion_ros.evaluation.fusion.evaluation import OURS
from vi_fusion_ros.evaluation.fusion.folders import find_frames, fused_images
from vi_fusion_ros.methods.registry import chosen
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.types import Image

_TILE = (256, 192)  # width and height; a picture is cut to these proportions about its middle
_LINES = 2
_MOST_BYTES = 400_000
_TITLES = {"VIS": "visible", "IR": "thermal", OURS: "this model", "AVG": "average", "MAX": "max"}


def main(arguments: list[str]) -> int:
    """Take the pictures."""
    if len(arguments) < 2 or not all(":" in scene for scene in arguments[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    scenes = (scene.rpartition(":") for scene in arguments[1:])
    picture = np.vstack([rows(results(Path(folder), frame)) for folder, _, frame in scenes])
    write_small(Path(arguments[0]), picture, _MOST_BYTES)
    return 0


def results(folder: Path, frame: str) -> dict[str, Image]:
    """Luma of the sources and of every method's result, (H, W) uint8, by title.

    Raises:
        ValueError: there is no such frame.
    """
    run = {entry.name: entry.weights for entry in chosen("all") if entry.name not in ("max", "average")}
    frames, _ = find_frames(folder / "visible", folder / "thermal", {}, run)
    found = next((files for files in frames if files.name == frame), None)
    if found is None:
        raise ValueError(f"{folder}: has no frame '{frame}'; expected the stem of a file in visible and thermal")
    fused = fused_images(found, default_model()).fused
    first = [name for name in _TITLES if name in fused]
    return {_TITLES.get(name, name): fused[name] for name in [*first, *(name for name in fused if name not in first)]}


def rows(images: dict[str, Image]) -> Image:
    """Titled tiles on two lines, (2 × 192, W, 3) uint8 BGR."""
    tiles = [titled(_tile(image), title) for title, image in images.items()]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _LINES)
    columns = len(tiles) // _LINES
    return np.vstack([np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)])


def _tile(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(width / _TILE[0], height / _TILE[1])
    wide, high = round(_TILE[0] * scale), round(_TILE[1] * scale)
    left, top = (width - wide) // 2, (height - high) // 2
    part = image[top : top + high, left : left + wide]
    return cv2.resize(grey8(part), _TILE, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
