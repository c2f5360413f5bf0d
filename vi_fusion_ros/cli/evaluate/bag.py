"""``vi-fusion evaluate bag``: the run-time pipeline over rosbag2 bags, without ROS."""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vi_fusion_ros.cli.pipeline_options import add_parameters

_THREADS = 2  # of the engine where one bag has the machine to itself, as in the node


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only bags have."""
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="rosbag2 folder, or its .mcap or .db3 file")
    parser.add_argument("--visible-topic", required=True, metavar="TOPIC", help="raw or compressed visible images")
    parser.add_argument("--thermal-topic", required=True, metavar="TOPIC", help="raw or compressed thermal images")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="JSON of what is there when (docs/evaluation.md)")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file (default: the images are registered)")
    add_parameters(parser)
    parser.add_argument("--criteria", type=Path, metavar="FILE", help="YAML that the result has to meet (docs/gate.md)")
    parser.add_argument("--junit", type=Path, metavar="XML", help="write the verdicts of --criteria for CI")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT.mcap",
        help="write fused images and classifications; of several bags, a folder",
    )


@dataclass(frozen=True)
class Job:
    """What one process needs to evaluate one bag.

    Attributes:
        bag: to evaluate.
        output: bag to write.
        report: folder of the report.
        threads: of the engine.
        jobs: processes for the fusion metrics.
        alone: whether it is the only bag: it may show its progress, and its failure is the command's.
        part: folder of what a call that did not end has computed; None: nothing is kept.
    """

    bag: Path
    output: Path | None
    report: Path | None
    threads: int
    jobs: int
    alone: bool
    part: Path | None


def run(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> dict[str, Any]:
    """Evaluate the bags, write JSON, bags and reports.

    Args:
        args: of the command line.
        model: the ONNX file.
        about_model: what the JSON says of it.
        command: what the user typed.

    Returns:
        The result.

    Raises:
        ValueError: nothing can be evaluated; one sentence.
    """
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.parallel import map_in_order

    jobs = _jobs(args)
    _check_shared_input(args)
    results = map_in_order(partial(_evaluate, args, model, command), jobs, args.jobs, "bags")
    if args.junit:
        from vi_fusion_ros.evaluation.output import write_text
        from vi_fusion_ros.evaluation.streams.criteria import junit

        verdicts = {
            job.bag.resolve().stem: outcome if isinstance(outcome, str) else outcome["criteria"]
            for job, outcome in zip(jobs, results, strict=True)
        }
        write_text(args.junit, junit(verdicts))
    result = results[0] if len(jobs) == 1 else _together(jobs, results)
    if isinstance(result, str):
        raise ValueError(result)  # noqa: TRY004 (the sentence of a failure, not a wrong type)
    result["model"] = about_model
    write_json(args.json, result)
    for job, outcome in zip(jobs, results, strict=True):
        if job.report and not isinstance(outcome, str):
            print(job.report / "index.html")
    return result


def _jobs(args: argparse.Namespace) -> list[Job]:
    from vi_fusion_ros.evaluation.streams.bag_evaluation import check_output

    if len(args.bags) == 1:
        if args.output:
            check_output(args.output, args.bags[0])
        local = args.engine == "local"
        return [Job(args.bags[0], args.output, args.report, _THREADS, args.jobs if local else 1, local, _part("bag"))]
    names = [bag.resolve().stem for bag in args.bags]
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"two of the bags are called {doubled[0]}; expected bags of different names")
    jobs = []
    for bag, name in zip(args.bags, names, strict=True):
        output = args.output / f"{name}.mcap" if args.output else None
        if output:
            check_output(output, bag)
        jobs.append(Job(bag, output, args.report / name if args.report else None, 1, 1, False, _part(name)))
    return jobs


def _part(name: str) -> Path | None:
    from vi_fusion_ros.evaluation.unfinished import current

    unfinished = current()
    return None if unfinished is None else unfinished.folder(name)


def _check_shared_input(args: argparse.Namespace) -> None:
    """Fail once on what all bags share, before any work is done."""
    if args.labels:
        from vi_fusion_ros.evaluation.streams.bag_labels import read_labels

        read_labels(args.labels)
    if args.rig:
        from vi_fusion_ros.registration import Rig

        Rig.load(args.rig)
    if args.criteria:
        from vi_fusion_ros.evaluation.streams.criteria import read_criteria

        read_criteria(args.criteria)
    elif args.junit:
        raise ValueError("--junit writes the verdicts of --criteria; expected both")


def _evaluate(args: argparse.Namespace, model: Path, command: str, job: Job) -> dict[str, Any] | str:
    """The result of one bag, or why there is none."""
    try:
        return _result(args, model, command, job)
    except (ValueError, OSError) as error:
        return str(error)


def _result(args: argparse.Namespace, model: Path, command: str, job: Job) -> dict[str, Any]:
    import shutil

    from vi_fusion_ros.bags.replay import Replay
    from vi_fusion_ros.bags.source import open_bag
    from vi_fusion_ros.cli.evaluate.going_on import say
    from vi_fusion_ros.cli.pipeline_options import make_pipeline, stamp_sources_of
    from vi_fusion_ros.engines.load import load_engine
    from vi_fusion_ros.evaluation.streams.bag_checkpoint import BagCheckpoint
    from vi_fusion_ros.evaluation.streams.bag_evaluation import evaluate_bag
    from vi_fusion_ros.evaluation.streams.bag_output import ResultBag
    from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluator, fusion_of, summary
    from vi_fusion_ros.image_codecs import stream_codecs
    from vi_fusion_ros.registration import Rig

    rig = Rig.load(args.rig) if args.rig else Rig.identity()
    engine = load_engine(model, job.threads)
    labels = engine.manifest.labels
    criteria = _criteria(args, labels)
    with closing(open_bag(job.bag)) as source:
        stamps = stamp_sources_of(args.parameters)
        replay = Replay(source, args.visible_topic, args.thermal_topic, stream_codecs(), rig.time_offset_ns, stamps)
        pipeline = make_pipeline(engine, rig, args.parameters)
        evaluator = StreamEvaluator(pipeline, labels, bool(job.report))
        temperatures = _temperatures(criteria, pipeline.radiometry)
        checkpoint = BagCheckpoint(job.part, evaluator, temperatures, job.output) if job.part else None
        pieces = 0
        if checkpoint is not None and checkpoint.done:
            say(f"{job.bag.name}: {checkpoint.done} pairs were fused by a call that did not end")
            pieces = checkpoint.pieces
        with ResultBag(job.output, engine.manifest.model_id, pieces) if job.output else nullcontext() as output:
            evaluation = evaluate_bag(
                source,
                replay,
                evaluator,
                output,
                job.alone,
                (lambda fused: temperatures.take(fused, pipeline.radiometry)) if temperatures else None,
                checkpoint,
            )
            with nullcontext() if checkpoint is None else closing(checkpoint.metrics()) as kept:
                fusion = fusion_of(evaluation, job.jobs, kept)
    result = {
        "bag": job.bag.name,
        "topics": {"visible": args.visible_topic, "thermal": args.thermal_topic},
        "rig": rig.source,
        **summary(replay.pair_stream, evaluation, fusion, source.broken),
    }
    if temperatures:
        result["temperatures"] = temperatures.summary()
    if criteria:
        from vi_fusion_ros.evaluation.streams.criteria import judge

        result["criteria"] = judge(criteria, result)
    judged = None
    if args.labels:
        from vi_fusion_ros.evaluation.streams.bag_labels import classification, judged_against, read_labels

        judged = judged_against(evaluation, read_labels(args.labels), engine.manifest)
        result["classification"] = classification(judged)
    if job.report:
        from vi_fusion_ros.evaluation.reports.bag import write_report

        write_report(job.report, evaluation, fusion, judged, result, model, command)
    if job.part:
        shutil.rmtree(job.part, ignore_errors=True)  # the result is kept from here on
    return result


def _criteria(args: argparse.Namespace, labels: tuple[str, ...]) -> list[Any]:
    """What the result has to meet, checked before the bag is read."""
    if not args.criteria:
        return []
    from vi_fusion_ros.evaluation.streams.criteria import check_labels, read_criteria

    criteria = read_criteria(args.criteria)
    check_labels(criteria, labels)
    return criteria


def _temperatures(criteria: list[Any], radiometry: Any) -> Any:
    """What gathers the temperatures that criteria ask for; false where none does."""
    from vi_fusion_ros.evaluation.streams.criteria import check_radiometry
    from vi_fusion_ros.evaluation.streams.region_temperatures import RegionTemperatures

    check_radiometry(criteria, radiometry)
    return RegionTemperatures(criterion.region for criterion in criteria if criterion.region)


def _together(jobs: list[Job], results: list[dict[str, Any] | str]) -> dict[str, Any] | str:
    """The results of several bags as one; a bag that cannot be evaluated is named and left out."""
    bags = {str(job.bag): result for job, result in zip(jobs, results, strict=True) if not isinstance(result, str)}
    problems = [
        f"{job.bag}: {sentence}"
        for job, result in zip(jobs, results, strict=True)
        for sentence in ([result] if isinstance(result, str) else result["problems"])
    ]
    if not bags:
        return f"none of the {len(jobs)} bags can be evaluated; the first problem: {problems[0]}"
    return {
        "n": sum(result["n"] for result in bags.values()),
        "partial": bool(problems),
        "problems": problems,
        "bags": bags,
    }
