"""``vi-fusion evaluate flicker``: how still a fused video is where the scene is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.types import FusionResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this kind has."""
    for camera in ("visible", "thermal"):
        parser.add_argument(
            f"--{camera}", type=Path, required=True, metavar="VIDEO", help=f"{camera} video, registered, 8 bit"
        )


def run(args: argparse.Namespace, model: Path, about_model: dict[str, Any]) -> dict[str, Any]:
    """Fuse both videos and measure; writes the JSON and prints a table."""
    import numpy as np

    from vi_fusion_ros.evaluation.metrics.flicker import Flicker, lumas
    from vi_fusion_ros.evaluation.metrics.temporal import TemporalMetrics
    from vi_fusion_ros.evaluation.output import write_json

    changes, motion = Flicker(), TemporalMetrics(("visible", "thermal"))
    for frame in _fused(args.visible, args.thermal, model):
        images = lumas(frame)
        changes.add(images)
        motion.add({name: np.rint(image).astype(np.uint8) for name, image in images.items()})
    result, temporal = changes.result(), motion.result()
    rows = {name: {**row, **temporal[name]} for name, row in result.items() if isinstance(row, dict)}
    result |= rows
    write_json(args.json, {**result, "model": about_model})
    print(f"{result['n']} changes between frames, {result['static_share']:.0%} of the image static; grey levels:")
    for name, row in rows.items():
        warping, jerk = row["warping_error_dis"], row.get("motion_smoothness_dis")
        line = f"{name:<10} pixel {row['pixel']:.3f}   local {row['local']:.3f}"
        line += f"   warping error (DIS) {'-' if warping is None else format(warping, '.3f')}"
        print(line + ("" if jerk is None else f"   motion smoothness (DIS) {jerk:.3f} px"))
    return result


def _fused(visible: Path, thermal: Path, model: Path) -> Iterator[FusionResult]:
    from tqdm import tqdm

    from vi_fusion_ros.cli.fuse.inputs import open_pairs
    from vi_fusion_ros.evaluation.model_fusion import still_pipeline

    pairs, pipeline = open_pairs(visible, thermal), still_pipeline(model)
    for item in tqdm(pairs, total=pairs.total, unit="pair", leave=False, disable=None):
        yield pipeline.process(item.load())
