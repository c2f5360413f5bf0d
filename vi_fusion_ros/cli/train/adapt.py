"""``vi-fusion adapt``: fit a model to the user's own cameras, from recordings without labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vi_fusion_ros.cli.train.dataset import all_layouts
from vi_fusion_ros.training.datasets.layouts import LAYOUTS, guess_layout


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "adapt",
        help="fit the model to your cameras, from recordings without labels (needs the train requirements)",
        description="Learn from recordings without labels; their last fifth is set aside, and the result is kept only "
        "where it is better there. The exit code is 0 when it is kept, 1 when it is not, 2 when a recording cannot be "
        "used. Run the same command again to go on after a break.",
    )
    parser.add_argument(
        "recordings", type=Path, nargs="+", metavar="BAG|FOLDER", help="as vi-fusion dataset check reads them"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the result")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file (default: the images are registered)")
    parser.add_argument(
        "--labelled",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="registered pairs with labels, of which nothing is learned: what is told of them may not become worse "
        "(several times for several sets)",
    )
    parser.add_argument(
        "--layout", choices=(*LAYOUTS, "rosbag"), help="how all recordings lie on disk (default: by their folders)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="ONNX", help="model to start from (default: the one of the package)"
    )


def run(args: argparse.Namespace) -> int:
    """Adapt; say what has become better, or why nothing is kept."""
    from vi_fusion_ros.resources import default_model

    layouts = all_layouts()
    datasets = [layouts[args.layout or guess_layout(path, layouts)].open(path) for path in args.recordings]
    labelled = [layouts[guess_layout(path, layouts)].open(path) for path in args.labelled]
    for dataset in (*datasets, *labelled):
        print(f"{dataset.root}: {len(dataset)} pairs" + "".join(f"; {note}" for note in dataset.notes))
    from vi_fusion_ros.training.adapt.run import adapt

    ended = adapt(datasets, args.model or default_model(), args.output, args.rig, labelled=labelled)
    for problem in ended.problems:
        sys.stderr.write(f"skipped {problem}\n")
    print(f"{'set aside':<20}{'before':>9}{'after':>9}  difference")
    for name, row in ended.verdict["fusion"].items():
        low, high = (float("nan") if end is None else end for end in row["ci95"])
        before, after, difference = (
            float("nan") if row[key] is None else row[key] for key in ("before", "after", "difference")
        )
        print(f"{name:<20}{before:9.3f}{after:9.3f}  {difference:+.3f} [{low:+.3f}, {high:+.3f}]")
    words = ended.verdict["words"]
    for mode in ("visible_only", "thermal_only"):
        near = f"{words[mode]['before']:.3f} before, {words[mode]['after']:.3f} after"
        print(f"{mode.replace('_', ' ')}: probabilities differ from those of both cameras by {near}")
    print(f"with both cameras, {words['same']:.1%} of the labels are as before")
    truth = ended.verdict.get("labelled")
    if truth is not None:
        before, after = (truth["both"][key]["mean"]["auc"] for key in ("before", "after"))
        low, high = truth["both"]["difference"]["mean"]["ci95"]
        print(
            f"ROC-AUC of presence on {truth['n']} labelled frames: {before:.3f} before, {after:.3f} after, "
            f"{after - before:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
    if ended.model is None:
        print(f"nothing is kept: {'; '.join(ended.verdict['reasons'])}")
        return 1
    if words["reasons"]:
        print(f"perception stays as it was: {'; '.join(words['reasons'])}")
    print(f"{ended.model}: better, and kept")
    return 0
