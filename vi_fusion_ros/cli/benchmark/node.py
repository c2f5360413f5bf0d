"""``vi-fusion benchmark node``: what the running node costs beside inference."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vi_fusion_ros.cli.sizes import size


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("node", help="cost of the running fusion node, beside a plain one (needs ROS 2)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the measurement (default 20)")
    parser.add_argument("--size", type=size, default=(640, 480), help="WIDTHxHEIGHT of both cameras (default 640x480)")
    parser.add_argument("--rate", type=float, default=30.0, help="rate of both cameras, Hz (default 30)")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default 2)")
    parser.add_argument("--thermal-bits", type=int, default=16, choices=(8, 16), help="depth of the thermal camera")
    parts = "what each part costs, with a pixel mean in place of the network"
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--parts", action="store_true", help=parts)
    depth = "what registration by a depth image for each visible one costs, by three ways to fuse"
    which.add_argument("--depth", action="store_true", help=depth)
    # The figures are always printed as JSON; without FILE the option is there for the sake of the other benchmarks.
    parser.add_argument("--json", nargs="?", type=Path, metavar="FILE", help="print JSON, and write it to FILE")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    from vi_fusion_ros.tools import bench_node  # only this one of the benchmarks needs ROS

    if args.seconds <= 0 or args.rate <= 0 or args.threads < 1:
        raise ValueError("--seconds and --rate must be above 0, --threads at least 1")
    machine = bench_node.machine()
    width, height = args.size
    conditions = bench_node.Conditions(args.seconds, width, height, args.rate, args.threads, args.thermal_bits)
    try:
        if args.parts:
            figures = bench_node.benchmark_parts(conditions)
        elif args.depth:
            figures = bench_node.benchmark_depth(conditions)
        else:
            figures = bench_node.benchmark(conditions)
    except bench_node.ProcessError as error:
        raise ValueError(str(error)) from error
    asked = {"--seconds": (args.seconds, 20.0), "--rate": (args.rate, 30.0), "--threads": (args.threads, 2)}
    changed = [f" {option} {value:g}" for option, (value, default) in asked.items() if value != default]
    command = "vi-fusion benchmark node" + " --parts" * args.parts + " --depth" * args.depth + "".join(changed)
    text = json.dumps({"command": command, "machine": machine, **figures}, indent=2) + "\n"
    sys.stdout.write(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text, encoding="utf-8")
    return 0
