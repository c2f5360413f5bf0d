"""``vi-fusion benchmark light``: smaller forms of a model on one page, time against truth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from vi_fusion_ros.cli.evaluate.labelled import add_arguments, wanted_sets
from vi_fusion_ros.cli.named_paths import named_paths
from vi_fusion_ros.cli.sizes import size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser(
        "light",
        help="smaller forms of a model: time against fusion metrics and presence",
        description="Time models in turn, and measure Qabf, VIF and the ROC-AUC of presence on labelled frames of both "
        "cameras. The first model is what the others are compared with.",
    )
    parser.add_argument("models", nargs="+", metavar="NAME=ONNX", help="the models, the manifest of each beside it")
    add_arguments(parser)
    parser.add_argument("--size", type=size, default=(640, 480), help="of the frames to time (default 640x480)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--runs", type=int, default=100, help="timed runs of each (default 100)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write the result")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write index.html with the chart")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure, write, print."""
    from vi_fusion_ros.benchmarks.light import compare
    from vi_fusion_ros.benchmarks.machine import machine
    from vi_fusion_ros.evaluation.labelled_sets import opened
    from vi_fusion_ros.evaluation.output import write_json

    if min(args.threads, args.runs, args.jobs) < 1:
        raise ValueError("--threads, --runs and --jobs must be at least 1")
    models = named_paths(args.models, "ONNX")
    with opened(wanted_sets(args)) as sets:
        result = compare(models, sets, args.size, args.threads, args.runs, args.jobs)
    result = {"command": "vi-fusion benchmark light", **result, **machine()}
    write_json(args.json, result)
    print(f"{'model':<14}{'ms':>8}{'time':>7}{'Qabf':>8}{'VIF':>8}{'AUC':>8}  light")
    for row in result["rows"]:
        values = f"{row['median_ms']:8.1f}{row['time']:7.2f}{row['Qabf']:8.3f}{row['VIF']:8.3f}{row['auc']:8.3f}"
        print(f"{row['name'][:13]:<14}{values}  {'yes' if row['light'] else 'no'}")
    if args.report:
        print(_report(args.report, result))
    return 0


def _report(folder: Path, result: dict[str, Any]) -> Path:
    from vi_fusion_ros.evaluation.reports.html_report import Page, Table
    from vi_fusion_ros.evaluation.reports.light import chart

    page = Page("Light forms of a model", result["command"])
    page.text(
        f"{result['frames']} frames of both cameras; {result['size']}, {result['threads']} threads, {result['runs']} "
        f"runs in turn, {result['machine']}. Shaded: at most {result['most']['time']:.0%} of the first model's time. "
        f"Dashed: at most {result['most']['Qabf']} lost in Qabf and VIF and {result['most']['auc']} in AUC."
    )
    page.figure(chart(result), "time against truth")
    table = Table(("model", "median ms", "of the first", "Qabf", "VIF", "AUC", "file, MB"))
    for row in result["rows"]:
        numbers = [f"{row['median_ms']:.1f}", f"{row['time']:.2f}"]
        numbers += [f"{row[key]:.3f}" for key in ("Qabf", "VIF", "auc")]
        table.row([row["name"], *numbers, f"{row['onnx_bytes'] / 1e6:.1f}"])
    page.table(table)
    return page.write(folder)
