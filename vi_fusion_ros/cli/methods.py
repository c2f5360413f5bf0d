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
_RUNS, _PIPELINE_RUNS = 3, 15
_PATIENCE_S = 1.0  # of a small image; what takes longer is run once at full size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "methods",
        help="list the methods of the literature",
        description="The methods of the literature, those that fuse and those that find objects (kind: detector): what "
        "each follows, whether it can run here, the parameters of its networks, and its processor time on two "
        "synthetic images of 640×480, the median of three runs (one where even a small image takes a second). Then the "
        "processor time of the whole pipeline, on one thread, by the network and by each method that the node takes.",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the list to FILE too")


def run(args: argparse.Namespace) -> int:
    """Time every method, print a table and write the JSON."""
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.methods.registry import DETECTORS, METHODS

    rows: dict[str, dict[str, Any]] = {}
    print(f"{'method':<11}{'year':>5}{'parameters':>12}{'ms':>9}  {'kind':<13}faithful")
    entries: list[FusionMethod | Detector] = [*METHODS.values(), *DETECTORS.values()]
    for entry in entries:
        rows[entry.name] = entry.as_json() | {"missing": entry.missing, "ms_640x480": _milliseconds(entry)}
        row = rows[entry.name]
        shown = "-" if row["ms_640x480"] is None else f"{row['ms_640x480']:.1f}"
        size = f"{row['parameters']:,}" if row["parameters"] else "-"
        print(f"{entry.name:<11}{entry.year or '':>5}{size:>12}{shown:>9}  {entry.kind:<13}{entry.faithful}")
        if entry.missing:
            print(f"{'':<11}{entry.missing}")
    pipelines = _pipelines()
    print("\nthe pipeline by fusion.method, one thread, ms: ", end="")
    print(", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in pipelines.items()))
    if args.json:
        about = {"command": "vi-fusion methods", "methods": rows, "pipeline_ms_640x480": pipelines}
        write_json(args.json, about)
    return 0


def _milliseconds(entry: FusionMethod | Detector) -> float | None:
    """Median processor time at 640×480; None where the method cannot run."""
    if entry.missing:
        return None
    runs = 1 if _seconds(entry, _SMALL) > _PATIENCE_S else _RUNS
    return round(1e3 * statistics.median(_seconds(entry, _SIZE) for _ in range(runs)), 2)


def _pipelines() -> dict[str, float]:
    """Processor time of a registered pair of 640×480 by the network and by the methods that the node takes, ms.

    The visible image is in colour; taking the messages and publishing are not in it.
    """
    import cv2
    import numpy as np

    from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
    from vi_fusion_ros.methods.engine import NETWORK, MethodEngine
    from vi_fusion_ros.methods.registry import METHODS
    from vi_fusion_ros.pipeline import build_pipeline
    from vi_fusion_ros.resources import default_model

    low = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    image = np.asarray(cv2.resize(low, _SIZE[::-1], interpolation=cv2.INTER_CUBIC))
    colour, thermal = np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3])
    engines: dict[str, OnnxRuntimeEngine | MethodEngine] = {NETWORK: OnnxRuntimeEngine(default_model(), 1)}
    engines |= {name: MethodEngine(entry) for name, entry in METHODS.items() if entry.real_time}
    found = {}
    for name, engine in engines.items():
        pipeline, times = build_pipeline(engine), []
        for _ in range(1 + _PIPELINE_RUNS):
            start = time.process_time()
            pipeline(colour, thermal)
            times.append(time.process_time() - start)
        found[name] = round(1e3 * statistics.median(times[1:]), 2)  # the first one allocates
        engine.close()
    return found


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
