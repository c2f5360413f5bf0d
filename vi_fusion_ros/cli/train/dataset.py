"""``vi-fusion dataset``: look at a dataset before training or evaluating on it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vi_fusion_ros.training.datasets.layouts import LAYOUTS, Layout, guess_layout

_SHOWN = 20
"""Problems that are printed; the JSON has all of them."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser("dataset", help="check a dataset of visible and thermal images")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    check = kinds.add_parser(
        "check",
        help="report counts, sizes, pairing and label problems",
        description="Read every pair of a dataset and report what is in it and what is wrong with it. The exit code is "
        "0 when nothing is, 1 when there are problems, and 2 when the dataset cannot be used at all.",
    )
    check.add_argument("path", type=Path, metavar="PATH", help="the dataset's folder, or a bag")
    check.add_argument("--layout", choices=(*LAYOUTS, "rosbag"), help="how it lies on disk (default: by its folders)")
    check.add_argument("--json", type=Path, metavar="FILE", help="write the report, with every problem, as JSON")


def run(args: argparse.Namespace) -> int:
    """Check a dataset and print the report."""
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.training.datasets.check import survey

    layouts = all_layouts()
    name = args.layout or guess_layout(args.path, layouts)
    report = {"layout": name, **survey(layouts[name].open(args.path)).as_dict()}
    if args.json:
        write_json(args.json, report)
    _print(report)
    return 1 if report["problems"] else 0


def all_layouts() -> dict[str, Layout]:
    """The layouts of folders, and the bags, whose messages only the commands know how to read."""
    from vi_fusion_ros.image_codecs import image_codecs
    from vi_fusion_ros.training.datasets.rosbag import RosbagDataset, is_bag

    bags = Layout(lambda path: RosbagDataset(path, image_codecs()), is_bag, "metadata.yaml")
    return {**LAYOUTS, "rosbag": bags}


def _print(report: dict[str, Any]) -> None:
    print(f"{report['path']}: {report['dataset']}, layout {report['layout']}")
    print(f"{report['pairs']} pairs, {report['readable']} readable, {report['registered']} registered")
    for camera in ("visible", "thermal"):
        print(f"{camera} images: {_sizes(report[f'{camera}_sizes'])}")
    print(f"{'label':<12}{'present':>9}{'absent':>9}{'unknown':>9}{'boxes':>9}")
    for label, row in report["labels"].items():
        print(f"{label:<12}" + "".join(f"{row[key]:9d}" for key in ("present", "absent", "unknown", "boxes")))
    print("illumination: " + ", ".join(f"{name} {n}" for name, n in report["illumination"].items()))
    for note in report["notes"]:
        print(f"note: {note}")
    _print_problems(report)


def _sizes(counts: dict[str, int], most: int = 3) -> str:
    """The commonest sizes; datasets of crops have hundreds."""
    shown = [f"{size} ({n})" for size, n in list(counts.items())[:most]]
    return ", ".join(shown + [f"{len(counts) - most} more sizes"] * (len(counts) > most))


def _print_problems(report: dict[str, Any]) -> None:
    problems = report["problems"]
    if not problems:
        print("no problems")
        return
    kinds = ", ".join(f"{kind} {n}" for kind, n in report["problem_counts"].items())
    print(f"{len(problems)} problem{'s' * (len(problems) > 1)} ({kinds}):", file=sys.stderr)
    for problem in problems[:_SHOWN]:
        print(f"  {problem['sentence']}", file=sys.stderr)
    if len(problems) > _SHOWN:
        print(f"  and {len(problems) - _SHOWN} more; --json FILE lists all", file=sys.stderr)
