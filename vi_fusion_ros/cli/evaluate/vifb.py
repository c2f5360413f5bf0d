"""``vi-fusion evaluate fusion --protocol vifb``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.evaluation.fusion.folders import FrameFiles
    from vi_fusion_ros.evaluation.fusion.vifb import Leaderboard
    from vi_fusion_ros.methods.base import FusionMethod


def run(
    args: argparse.Namespace,
    frames: list[FrameFiles],
    problems: list[str],
    model: Path,
    manifest: dict[str, Any],
    methods: dict[str, FusionMethod],
) -> int:
    """Evaluate, write the JSON and print the leaderboard."""
    from vi_fusion_ros.evaluation.fusion.vifb import evaluate_vifb, read_published
    from vi_fusion_ros.evaluation.output import write_json

    published = read_published(args.peers) if args.peers else {}
    board = evaluate_vifb(frames, model, args.jobs, problems)
    if published:
        board = board.with_published(published, args.peers)
    about = {name: entry.as_json() for name, entry in methods.items()}
    write_json(args.json, {**board.summary(), "peers": list(published), "fusion_methods": about, "model": manifest})
    _print(board, set(published))
    if board.problems:
        print(f"vi-fusion: partial result: {board.problems[0]} ({len(board.problems)} problems)", file=sys.stderr)
    return 0


def _print(board: Leaderboard, published: set[str]) -> None:
    from vi_fusion_ros.evaluation.metrics.vifb import VIFB

    rank, means = board.mean_rank(), board.values.mean(0)
    print(f"{len(board.frames)} images; means; rank: mean of the ranks by metric, lower is better; * published values")
    titles = "".join(f"{name + ('' if metric.higher else '↓'):>9}" for name, metric in VIFB.items())
    print(f"{'method':<16}{titles}    rank")
    for name in sorted(board.methods, key=rank.__getitem__):
        row = "".join(f"{value:>9.4g}" for value in means[board.methods.index(name)])
        print(f"{name + '*' * (name in published):<16}{row}{rank[name]:>8.2f}")
