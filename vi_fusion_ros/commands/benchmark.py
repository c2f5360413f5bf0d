"""``vi-fusion benchmark``: measure parts of the package on this machine."""

from __future__ import annotations

import argparse

from vi_fusion_ros.commands import (
    benchmark_bag,
    benchmark_calibration,
    benchmark_compare,
    benchmark_drift,
    benchmark_metrics,
    benchmark_model,
    benchmark_node,
    benchmark_registration,
    benchmark_settings,
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command and its own sub-commands."""
    parser = subparsers.add_parser("benchmark", help="measure latency on this machine")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    benchmark_model.add_parser(kinds)
    benchmark_bag.add_parser(kinds)
    benchmark_node.add_parser(kinds)
    benchmark_registration.add_parser(kinds)
    benchmark_settings.add_parser(kinds)
    benchmark_compare.add_parser(kinds)
    benchmark_drift.add_parser(kinds)
    benchmark_calibration.add_parser(kinds)
    benchmark_metrics.add_parser(kinds)


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark."""
    return int(args.benchmark(args))
