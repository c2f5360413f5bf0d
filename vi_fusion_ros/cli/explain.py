"""``vi-fusion explain``: maps and figures of why the network says what it says."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vi_fusion_ros.training.datasets.layouts import REGISTERED

if TYPE_CHECKING:
    from vi_fusion_ros.explain.explanation import Explanation
    from vi_fusion_ros.training.datasets.base import Box
    from vi_fusion_ros.types import FramePair

    Named = tuple[str, FramePair, tuple[Box, ...]]

_SAID_AT_MOST = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "explain",
        help="show why the network says what it says",
        description="Attention, class activation, saliency and each camera's contribution, on images, datasets or "
        "bags: give --visible and --thermal, or --data, or --bag with its topics.",
    )
    parser.add_argument("--visible", type=Path, metavar="PATH", help="image, folder or video")
    parser.add_argument("--thermal", type=Path, metavar="PATH", help="the same of the thermal camera")
    parser.add_argument("--data", type=Path, metavar="PATH", help="folder of a dataset; its boxes are compared")
    parser.add_argument("--layout", choices=tuple(REGISTERED), help="how it lies on disk (default: by its folders)")
    parser.add_argument("--bag", type=Path, metavar="BAG", help="rosbag2 folder, or its .mcap or .db3 file")
    parser.add_argument("--visible-topic", metavar="TOPIC", help="raw or compressed visible images")
    parser.add_argument("--thermal-topic", metavar="TOPIC", help="raw or compressed thermal images")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file (default: the images are registered)")
    parser.add_argument(
        "--saliency", choices=("gradient", "perturbation"), default="gradient", help="how (default: gradient)"
    )
    parser.add_argument("--limit", type=int, default=6, metavar="N", help="pairs, evenly spread (default: 6)")
    parser.add_argument("--model", type=Path, metavar="ONNX", help="our model (default: the one of the package)")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write DIR/index.html, and each pair's overlays")


def run(args: argparse.Namespace) -> int:
    """Explain some pairs; what cannot be used is named and left out."""
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.explain.explanation import Explainer
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.resources import default_model

    model = args.model or default_model()
    rig = Rig.load(args.rig) if args.rig else Rig.identity()
    pairs = _pairs(args, rig.time_offset_ns)
    explainer = Explainer(model, args.saliency, rig)
    explanations, problems = [], []
    for item in pairs:
        if isinstance(item, str):
            problems.append(item)
            continue
        try:
            explanations.append(explainer.explain(*item))
        except ValueError as error:
            problems.append(f"{item[0]}: {error}")
    if not explanations:
        raise ValueError(
            f"no pair can be explained; {'the first problem: ' + problems[0] if problems else 'none was found'}"
        )
    result = _result(args.saliency, explanations, problems, explainer.about)
    write_json(args.json, result)
    _print(result)
    if args.report:
        from vi_fusion_ros.explain.pictures import write_report

        command = shlex.join(["vi-fusion", *sys.argv[1:]])
        print(write_report(args.report, explanations, result, model, command))
    for sentence in problems[:_SAID_AT_MOST]:
        print(f"vi-fusion: left out: {sentence}", file=sys.stderr)
    return 0


def _pairs(args: argparse.Namespace, rig_offset_ns: int) -> Iterator[Named | str]:
    """Name, pair and boxes of each, or why it cannot be had."""
    if args.limit < 1:
        raise ValueError(f"--limit {args.limit}; expected at least 1")
    given = [name for name in ("data", "bag") if getattr(args, name)] + ["files"] * bool(args.visible or args.thermal)
    if len(given) != 1:
        raise ValueError("expected --visible and --thermal, or --data, or --bag; one of the three")
    if given[0] == "data":
        return _of_dataset(args.data, args.layout, args.limit)
    if given[0] == "bag":
        if not (args.visible_topic and args.thermal_topic):
            raise ValueError("--bag needs --visible-topic and --thermal-topic")
        return _of_bag(args.bag, args.visible_topic, args.thermal_topic, rig_offset_ns, args.limit)
    if not (args.visible and args.thermal):
        raise ValueError("expected both --visible and --thermal")
    return _of_files(args.visible, args.thermal, args.limit)


def _of_dataset(root: Path, layout: str | None, limit: int) -> Iterator[Named | str]:
    from vi_fusion_ros.evaluation.pairs import PairSet, PairView
    from vi_fusion_ros.types import Frame, FramePair

    pairs = PairSet.find(root, layout, limit)
    for index in pairs.indices:
        sample = pairs.open().samples[index]
        try:
            view = PairView(pairs, index)
        except ValueError as error:
            yield str(error)
            continue
        yield sample.name, FramePair(Frame(view.visible), Frame(view.thermal)), sample.boxes


def _of_files(visible: Path, thermal: Path, limit: int) -> Iterator[Named | str]:
    from vi_fusion_ros.cli.fuse.inputs import open_pairs

    source = open_pairs(visible, thermal)
    chosen = _spread(source.total, limit)
    for number, item in enumerate(source):
        if number in chosen:
            try:
                yield item.name, item.load(), ()
            except ValueError as error:
                yield f"{item.name}: {error}"


def _of_bag(bag: Path, visible: str, thermal: str, rig_offset_ns: int, limit: int) -> Iterator[Named | str]:
    from vi_fusion_ros.bags.replay import Replay
    from vi_fusion_ros.bags.source import open_bag
    from vi_fusion_ros.image_codecs import image_codecs

    with closing(open_bag(bag)) as source:
        replay = Replay(source, visible, thermal, image_codecs(), rig_offset_ns)
        chosen = _spread(replay.expected_pairs, limit)
        for number, decoded in enumerate(replay.pairs()):
            if number in chosen:
                yield str(decoded.pair.reference.stamp_ns), decoded.pair, ()
        yield from replay.pair_stream.problems
        if source.broken:
            yield f"the bag is broken and was read up to the break: {source.broken}"


def _spread(total: int, limit: int) -> set[int]:
    count = min(total, limit)
    return {k * total // count for k in range(count)} if count else set()


def _result(method: str, explanations: list[Explanation], problems: list[str], about: dict[str, Any]) -> dict[str, Any]:
    rows = [row.figures for explanation in explanations for row in explanation.labels]
    mean: dict[str, Any] = {
        "contribution": {key: _mean([row["contribution"][key] for row in rows]) for key in ("visible", "thermal")}
    }
    for kind in ("class_activation", "saliency", "random"):
        mean[kind] = {key: _mean([row[kind][key] for row in rows]) for key in ("deletion", "insertion")}
        boxes = [row[kind]["boxes"] for row in rows if row[kind].get("boxes")]
        if boxes:
            mean[kind] |= {key: _mean([float(box[key]) for box in boxes]) for key in ("energy", "area", "pointing")}
    return {
        "n": len(explanations),
        "saliency": method,
        "mean": mean,
        "pairs": [explanation.summary() for explanation in explanations],
        "partial": bool(problems),
        "problems": problems,
        "model": about,
    }


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _print(result: dict[str, Any]) -> None:
    for pair in result["pairs"]:
        for label, row in pair["labels"].items():
            part = row["contribution"]
            print(
                f"{pair['name']}: {label} {row['probability']:.0%}, visible adds {part['visible']:+.2f}, thermal "
                f"{part['thermal']:+.2f}"
            )
    print(f"{'map':<18}{'deletion':>10}{'insertion':>11}{'in boxes':>10}")
    for kind in ("class_activation", "saliency", "random"):
        row = result["mean"][kind]
        boxes = f"{row['energy']:.3f}" if "energy" in row else "-"
        print(f"{kind:<18}{row['deletion']:>10.3f}{row['insertion']:>11.3f}{boxes:>10}")
