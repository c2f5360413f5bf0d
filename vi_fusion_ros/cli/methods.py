"""``vi-fusion methods``: the methods of the literature that are here."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.methods.base import Detector, FusionMethod

_SIZE, _SMALL = (480, 640), (120, 160)
_RUNS = 3
_PATIENCE_S = 2.0  # of a small image; what takes longer is not tried at full size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "methods",
        help="list the methods of the literature",
        description="The methods of the literature, those that fuse and those that find objects (kind: detector): what "
        "each follows, whether it can run here, and its processor time on two synthetic images of 640×480, the median "
        "of three runs; '-' where even a small image takes seconds.",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the list to FILE too")


def run(args: argparse.Namespace) -> int:
    """Time every method, print a table and write the JSON."""
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.methods.registry import DETECTORS, METHODS

    rows: dict[str, dict[str, Any]] = {}
    print(f"{'method':<11}{'year':>5}{'ms':>9}  {'kind':<13}faithful")
    entries: list[FusionMethod | Detector] = [*METHODS.values(), *DETECTORS.values()]
    for entry in entries:
        rows[entry.name] = entry.as_json() | {"missing": entry.missing, "ms_640x480": _milliseconds(entry)}
        row = rows[entry.name]
        shown = "-" if row["ms_640x480"] is None else f"{row['ms_640x480']:.1f}"
        print(f"{entry.name:<11}{entry.year or '':>5}{shown:>9}  {entry.kind:<13}{entry.faithful}")
        if entry.missing:
            print(f"{'':<11}{entry.missing}")
    if args.json:
        write_json(args.json, {"command": "vi-fusion methods", "methods": rows})
    return 0


def _milliseconds(entry: FusionMethod | Detector) -> float | None:
    """Median processor time at 640×480; None where the method cannot run, or takes too long to wait for."""
    if entry.missing or _seconds(entry, _SMALL) > _PATIENCE_S:
        return None
    return round(1e3 * statistics.median(_seconds(entry, _SIZE) for _ in range(_RUNS)), 2)


def _seconds(entry: FusionMethod | Detector, size: tuple[int, int]) -> float:
    import cv2
    import numpy as np

    from vi_fusion_ros.methods.base import FusionMethod

    low = np.random.default_rng(0).integers(0, 256, (2, 12, 16), np.uint8)
    visible, thermal = (cv2.resize(plane, size[::-1], interpolation=cv2.INTER_CUBIC) for plane in low)
    run = entry.fuse if isinstance(entry, FusionMethod) else entry.detect
    start = time.process_time()  # that other programs run meanwhile does not count
    run(np.asarray(visible, np.uint8), np.asarray(thermal, np.uint8))
    return time.process_time() - start
