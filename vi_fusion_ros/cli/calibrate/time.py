"""``vi-fusion calibrate time``, or ``calibrate --time``: the constant delay between the cameras, from motion."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from vi_fusion_ros.cli.calibrate.inputs import add_inputs, motions
from vi_fusion_ros.cli.calibrate.outputs import write_figures


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = kinds.add_parser("time", help="the constant delay between the cameras, from motion (also: --time)")
    add_inputs(parser, "video or folder", "for as long as --seconds says")
    parser.add_argument("--seconds", type=float, default=20.0, help="of live topics (default 20)")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file to write the offset into")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.set_defaults(calibrate=run)


def run(args: argparse.Namespace) -> int:
    """Estimate, print, and write the offset into the rig."""
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.estimate.acceptance import require_surer_offset
    from vi_fusion_ros.registration.estimate.time import time_offset

    rig = Rig.load(args.rig) if args.rig else None
    visible, thermal = motions(args, args.seconds)
    found = time_offset(visible, thermal)
    write_figures(args.json, dataclasses.asdict(found))
    if rig is not None:
        period_ms = 1000 * max(visible.period_s, thermal.period_s)
        require_surer_offset(args.rig, rig, found.offset_ms, found.uncertainty_ms, period_ms)
        offset_ms, uncertainty_ms = round(found.offset_ms, 2), round(found.uncertainty_ms, 2)
        dataclasses.replace(rig, time_offset_ms=offset_ms, time_offset_uncertainty_ms=uncertainty_ms).save(args.rig)
    print(
        f"add {found.offset_ms:.1f} ms to thermal stamps (± {found.uncertainty_ms:.1f} ms, correlation "
        f"{found.correlation:.2f})"
    )
    return 0
