"""``vi-fusion tune``: search hyperparameters on the selection parts of the data."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "tune",
        help="search hyperparameters (needs the train requirements)",
        description="Train runs with other learning rates and augmentation, and keep the configuration with the "
        "highest score on the select ranges of data.sets.",
    )
    parser.add_argument("config", type=Path, help="configuration that all trials share")
    parser.add_argument("--trials", type=int, default=20, help="how many to add to the study (default 20)")


def run(args: argparse.Namespace) -> int:
    """Search; print the path of the best configuration."""
    from vi_fusion_ros.training.config import load_config
    from vi_fusion_ros.training.tune import tune

    if args.trials < 1:
        raise ValueError("--trials must be at least 1")
    print(tune(load_config(args.config), args.trials))
    return 0
