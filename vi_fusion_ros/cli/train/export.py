"""``vi-fusion export``: turn a checkpoint into an ONNX file, a manifest and a model card."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "export",
        help="export a checkpoint for the node (needs the train requirements)",
        description="Write the ONNX file, its manifest and its model card. Probabilities are calibrated on the select "
        "ranges of data.sets, or by the file that the configuration's calibration names; the figures are of the test "
        "ranges.",
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint of vi-fusion train")
    parser.add_argument("-o", "--output", type=Path, required=True, help="ONNX file; .json and .md go beside it")


def run(args: argparse.Namespace) -> int:
    """Export; print what was written and how closely it agrees."""
    from vi_fusion_ros.training.release.export import export

    manifest = export(args.checkpoint, args.output)
    metrics = manifest["metrics"]
    print(f"{args.output}: {manifest['model_id']}, {metrics['parameters']} parameters, {metrics['gmac_640x480']} GMAC")
    print(f"largest difference between ONNX Runtime and torch: {metrics['onnx_vs_torch']:.2g}")
    return 0
