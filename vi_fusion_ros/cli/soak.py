"""``vi-fusion soak``: the fusion node under faulty cameras, with what has to hold checked meanwhile."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vi_fusion_ros.cli.sizes import size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser("soak", help="run the node under faulty cameras (needs ROS 2)")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the cameras are faulty (default 30)")
    parser.add_argument("--size", type=size, default=(640, 480), help="WIDTHxHEIGHT of both cameras (default 640x480)")
    parser.add_argument("--rate", type=float, default=30.0, help="rate of both cameras, Hz (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON that is printed to FILE too")


def run(args: argparse.Namespace) -> int:
    """Run; the exit status is 1 where something did not hold."""
    from vi_fusion_ros.tools import bench_node  # ROS is needed from here on
    from vi_fusion_ros.tools.soak import soak

    if args.minutes <= 0 or args.rate <= 0 or args.seed < 0:
        raise ValueError("--minutes and --rate must be above 0, --seed at least 0")
    conditions = bench_node.machine()
    try:
        seen = soak.soak(args.minutes, args.size, args.rate, args.seed)
    except soak.ProcessError as error:
        raise ValueError(str(error)) from error
    text = json.dumps({"command": "vi-fusion soak", "machine": conditions, **seen}, indent=2) + "\n"
    sys.stdout.write(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text, encoding="utf-8")
    return 0 if seen["passed"] else 1
