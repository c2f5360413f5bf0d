"""``vi-fusion evaluate bag``: the run-time pipeline over a rosbag2, without ROS."""

from __future__ import annotations

import argparse
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only bags have."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, or its .mcap or .db3 file")
    parser.add_argument("--visible-topic", required=True, metavar="TOPIC", help="raw or compressed visible images")
    parser.add_argument("--thermal-topic", required=True, metavar="TOPIC", help="raw or compressed thermal images")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="JSON of what is there when (docs/evaluation.md)")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file (default: the images are registered)")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.mcap", help="write fused images and classifications")


def run(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> dict[str, Any]:
    """Evaluate the bag, write JSON, bag and report.

    Args:
        args: of the command line.
        model: the ONNX file.
        about_model: what the JSON says of it.
        command: what the user typed.

    Returns:
        The result.
    """
    from vi_fusion_ros.bags.replay import Replay
    from vi_fusion_ros.bags.source import open_bag
    from vi_fusion_ros.commands.image_codecs import image_codecs
    from vi_fusion_ros.evaluation.bag_evaluation import check_output, evaluate_bag
    from vi_fusion_ros.evaluation.bag_output import ResultBag
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.stream_evaluation import StreamEvaluator, fusion_of, summary
    from vi_fusion_ros.inference.load import load_engine
    from vi_fusion_ros.pipeline import FusionPipeline
    from vi_fusion_ros.registration import Registration, Rig
    from vi_fusion_ros.thermal import ToneMapper

    if args.output:
        check_output(args.output, args.bag)
    intervals = None
    if args.labels:
        from vi_fusion_ros.evaluation.bag_labels import read_labels

        intervals = read_labels(args.labels)
    rig = Rig.load(args.rig) if args.rig else Rig.identity()
    engine = load_engine(model)
    pipeline = FusionPipeline(engine, Registration(rig), ToneMapper())
    with closing(open_bag(args.bag)) as source:
        replay = Replay(source, args.visible_topic, args.thermal_topic, image_codecs(), rig.time_offset_ns)
        writing = ResultBag(args.output, engine.manifest.model_id) if args.output else nullcontext()
        with writing as output:
            evaluator = StreamEvaluator(pipeline, engine.manifest.labels, bool(args.report))
            evaluation = evaluate_bag(source, replay, evaluator, output)
        fusion = fusion_of(evaluation, args.jobs)
        result = {
            "bag": args.bag.name,
            "topics": {"visible": args.visible_topic, "thermal": args.thermal_topic},
            "rig": rig.source,
            "model": about_model,
            **summary(replay.intake, evaluation, fusion, source.broken),
        }
    if intervals is not None:
        from vi_fusion_ros.evaluation.bag_labels import classification

        result["classification"] = classification(evaluation, intervals, engine.manifest)
    write_json(args.json, result)
    if args.report:
        from vi_fusion_ros.evaluation.bag_report import write_report

        print(write_report(args.report, evaluation, fusion, result, model, command))
    return result
