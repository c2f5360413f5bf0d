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
        "ranges. A checkpoint of a fusion method of the literature, or with --method the file of its authors, becomes "
        "the file that vi-fusion fuse --weights takes (docs/methods.md).",
    )
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint of vi-fusion train, or the file of --method's authors"
    )
    parser.add_argument("--method", metavar="NAME", help="the fusion method whose authors published the file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="ONNX file; .json and .md go beside it")


def run(args: argparse.Namespace) -> int:
    """Export; print what was written and how closely it agrees."""
    from vi_fusion_ros.training.checkpoints import checkpoint_weights
    from vi_fusion_ros.training.methods.release import export_authors, export_method
    from vi_fusion_ros.training.release.export import export

    if args.method:
        difference = export_authors(args.method, args.checkpoint, args.output)
        print(f"{args.output}: {args.method}, of {args.checkpoint}, whose terms hold for it too")
    elif checkpoint_weights(args.checkpoint)[0].method:
        manifest = export_method(args.checkpoint, args.output)
        difference = manifest["metrics"]["onnx_vs_torch"]
        print(f"{args.output}: {manifest['model_id']}, {manifest['metrics']['parameters']} parameters")
    else:
        manifest = export(args.checkpoint, args.output)
        metrics, difference = manifest["metrics"], manifest["metrics"]["onnx_vs_torch"]
        print(
            f"{args.output}: {manifest['model_id']}, {metrics['parameters']} parameters, {metrics['gmac_640x480']} GMAC"
        )
    print(f"largest difference between ONNX Runtime and torch: {difference:.2g}")
    return 0
