"""``vi-fusion calibrate``: find how two cameras lie to each other, and write the rig file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vi_fusion_ros.cli.calibrate import points, scene, target, thermal, time


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser("calibrate", help="find how two cameras lie to each other, and write the rig file")
    kinds = parser.add_subparsers(required=True, metavar="HOW")
    for kind in (target, scene, points, time, thermal):
        kind.add_parser(kinds)
    _accept_time_as_an_option(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate and write the rig."""
    return int(args.calibrate(args))


def _accept_time_as_an_option(parser: argparse.ArgumentParser) -> None:
    """``calibrate --time …`` means ``calibrate time …``."""
    parse = parser.parse_known_args

    def parse_known_args(  # type: ignore[no-untyped-def]
        args: Sequence[str] | None = None, namespace=None
    ) -> tuple[argparse.Namespace, list[str]]:
        given = list(args or ())
        if "--time" in given:
            given = ["time", *(argument for argument in given if argument != "--time")]
        return parse(given, namespace)

    parser.parse_known_args = parse_known_args  # type: ignore[method-assign,assignment]
