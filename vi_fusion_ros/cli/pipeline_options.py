"""The node's pipeline for commands: the same settings, from the same parameter file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vi_fusion_ros.engines.engine import Engine
    from vi_fusion_ros.pipeline import FusionPipeline
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.sync.stamp_source import StampSource
    from vi_fusion_ros.types import Camera


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add ``--parameters``."""
    parser.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="the fusion node's parameter file; its thermal.* and visible.* that shape images, and output.hot_regions, "
        "apply here as there",
    )


def make_pipeline(engine: Engine, rig: Rig, parameters: Path | None) -> FusionPipeline:
    """The pipeline as a node with these parameters runs it.

    Raises:
        ValueError: the file or a value in it cannot be used; one sentence.
    """
    from vi_fusion_ros.node.parameters import schema
    from vi_fusion_ros.pipeline import build_pipeline

    return build_pipeline(engine, rig, None if parameters is None else schema.from_file(parameters))


def stamp_sources_of(parameters: Path | None) -> dict[Camera, StampSource] | None:
    """Where the stamps of a bag's images come from, as in a node with these parameters.

    Raises:
        ValueError: as ``make_pipeline``.
    """
    from vi_fusion_ros.node.parameters import schema
    from vi_fusion_ros.sync.stamp_source import stamp_sources

    return None if parameters is None else stamp_sources(schema.from_file(parameters))
