"""``vi-fusion train``: train the network from a YAML configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train the network (needs the train requirements)",
        description="Train on the train ranges of the configuration's data.sets (docs/datasets.md). Logs and "
        "checkpoints go to RUNS/NAME: last.ckpt after every epoch, best.ckpt by the score on the select ranges.",
    )
    parser.add_argument(
        "config",
        type=Path,
        help="configuration, for example config/training/default.yaml",
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="ONNX", help="learn from the outputs of this larger model, too (distillation)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")


def run(args: argparse.Namespace) -> int:
    """Train; print the path of the last checkpoint."""
    import dataclasses

    from vi_fusion_ros.training.config import load_config
    from vi_fusion_ros.training.trainer import train

    config = load_config(args.config)
    if args.teacher:
        config = dataclasses.replace(config, teacher=args.teacher)
    print(train(config, args.resume).last)
    return 0
