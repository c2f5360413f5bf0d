#!/usr/bin/env python3
"""Palettes of ~/thermal_color and modes of ~/overlay, of the synthetic scene: scripts/operator_picture.py OUT.jpg."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from screenshot import write_small

from vi_fusion_ros.drawing import titled
from vi_fusion_ros.overlay_modes import OVERLAY_MODES, overlay_in
from vi_fusion_ros.pipeline import load_pipeline
from vi_fusion_ros.sources.synthetic import SyntheticScene
from vi_fusion_ros.thermal_color import PALETTES, thermal_color

_SECOND = 5.0
_MOST_BYTES = 250_000


def main(arguments: list[str]) -> int:
    """Take the picture."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    scene = SyntheticScene()
    pipeline = load_pipeline(settings={"thermal.radiometry": "tlinear_0.01"})
    result = pipeline(scene.visible(_SECOND), scene.thermal(_SECOND))
    radiometry = pipeline.radiometry
    palettes = {name: thermal_color(result, name, radiometry) for name in PALETTES}
    modes = {name: overlay_in(name, result, "ironbow", radiometry) for name in OVERLAY_MODES}
    rows = [np.hstack([titled(image, name) for name, image in row.items()]) for row in (palettes, modes)]
    picture = cv2.resize(np.vstack(rows), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    write_small(Path(arguments[0]), picture, _MOST_BYTES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
