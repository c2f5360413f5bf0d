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
    from vi_fusion_ros.evaluation.metrics.flicker import flicker
    from vi_fusion_ros.evaluation.output import write_json

    result = flicker(_fused(args.visible, args.thermal, model))
    write_json(args.json, {**result, "model": about_model})
    print(f"{result['n']} changes between frames, {result['static_share']:.0%} of the image static; grey levels:")
    for name, row in ((name, row) for name, row in result.items() if isinstance(row, dict)):
        print(f"{name:<10} pixel {row['pixel']:.3f}   local {row['local']:.3f}")
    return result


def _fused(visible: Path, thermal: Path, model: Path) -> Iterator[FusionResult]:
    from tqdm import tqdm

    from vi_fusion_ros.cli.fuse.inputs import open_pairs
    from vi_fusion_ros.evaluation.model_fusion import still_pipeline

    pairs, pipeline = open_pairs(visible, thermal), still_pipeline(model)
    for item in tqdm(pairs, total=pairs.total, unit="pair", leave=False, disable=None):
        yield pipeline.process(item.load())
