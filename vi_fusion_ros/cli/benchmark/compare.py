"""``vi-fusion benchmark compare``: what changed from one measurement to another."""

from __future__ import annotations

import argparse
from pathlib import Path

from vi_fusion_ros.benchmarks.compare import compare


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("compare", help="two JSON files of a benchmark, figure by figure")
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Compare and print."""
    found = compare(args.before, args.after)
    for name, before, after in found.circumstances:
        print(f"differs: {name}: {before} and {after}")
    width = max(len(change.name) for change in found.changes)
    print(f"{'':<{width}}{'A':>12}{'B':>12}{'B/A':>9}")
    for change in found.changes:
        ratio = "-" if change.ratio is None else f"{change.ratio:.3f}"
        print(f"{change.name:<{width}}{change.before:12.6g}{change.after:12.6g}{ratio:>9}")
    for which, names in (("A", found.only_before), ("B", found.only_after)):
        if names:
            print(f"only in {which}: {', '.join(names)}")
    return 0
