"""``vi-fusion prune``: a network of fewer channels from a model, to be trained on."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "prune",
        help="make a smaller model of the channels that weigh the most (needs the train requirements)",
        description="Cut a model down to the sizes in a training configuration's network section. The result is not "
        "trained: begin with it (start_from) and learn from the model that it came from (vi-fusion train --teacher).",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL.onnx", help="model of vi-fusion export, its manifest beside it"
    )
    parser.add_argument(
        "config", type=Path, help="configuration with the sizes, for example config/training/small.yaml"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="ONNX file; .json and .md go beside it")


def run(args: argparse.Namespace) -> int:
    """Prune; print what is left."""
    from vi_fusion_ros.training.config import load_config
    from vi_fusion_ros.training.prune import prune

    if args.output.resolve() == args.model.resolve():
        raise ValueError(f"{args.output} is the model itself; expected another file")
    manifest = prune(args.model, load_config(args.config).network, args.output)
    metrics = manifest["metrics"]
    print(f"{args.output}: {manifest['model_id']}, {metrics['parameters']} parameters, {metrics['gmac_640x480']} GMAC")
    return 0
