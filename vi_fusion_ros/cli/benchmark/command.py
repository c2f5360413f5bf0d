"""``vi-fusion benchmark``: measure parts of the package on this machine."""

from __future__ import annotations

import argparse

from vi_fusion_ros.cli.benchmark import (
    bag,
    calibration,
    compare,
    drift,
    light,
    metrics,
    model,
    node,
    registration,
    settings,
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command and its own sub-commands."""
    parser = subparsers.add_parser("benchmark", help="measure latency on this machine")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    model.add_parser(kinds)
    bag.add_parser(kinds)
    node.add_parser(kinds)
    registration.add_parser(kinds)
    settings.add_parser(kinds)
    compare.add_parser(kinds)
    drift.add_parser(kinds)
    calibration.add_parser(kinds)
    metrics.add_parser(kinds)
    light.add_parser(kinds)


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark."""
    return int(args.benchmark(args))
