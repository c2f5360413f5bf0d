"""``vi-fusion evaluate``: metrics of fusion, of classification and of bags."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from vi_fusion_ros.cli.evaluate import bag, flicker, labelled, vifb
from vi_fusion_ros.cli.evaluate import datasets as evaluate_datasets
from vi_fusion_ros.cli.evaluate.method_options import add_methods, require_methods
from vi_fusion_ros.training.datasets.layouts import LABELLED

ROWS = {"max": "MAX", "average": "AVG"}
"""Methods that have a row of another name in every evaluation of fusion."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser("evaluate", help="measure fusion and classification, with a report")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_fusion(kinds)
    _add_classification(kinds)
    _add_presence(kinds)
    _add_detection(kinds)
    _add_bag(kinds)
    _add_cross(kinds)
    _add_robustness(kinds)
    _add_flicker(kinds)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the JSON and the report, and print a table."""
    from vi_fusion_ros.cli.evaluate.going_on import going_on

    with going_on(args, _model(args.model)):
        if args.engine == "local":
            return int(args.evaluate(args))
        from vi_fusion_ros.evaluation.cluster import connected

        with connected(args.jobs):
            return int(args.evaluate(args))


def _add_fusion(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "fusion",
        help="fusion metrics on folders of registered images",
        description="Fusion metrics of our model, of trivial fusions and of other methods, on the same frames.",
    )
    parser.add_argument("--visible", type=Path, required=True, metavar="DIR", help="visible images")
    parser.add_argument("--thermal", type=Path, required=True, metavar="DIR", help="thermal images of the same names")
    parser.add_argument(
        "--fused",
        action="append",
        default=[],
        type=_named_folder,
        metavar="NAME=DIR",
        help="another method's results of the same names; may be given again",
    )
    add_methods(parser, "methods", "run on")
    parser.add_argument(
        "--peers", type=Path, metavar="CSV", help="other methods' metric values by frame (docs/evaluation.md)"
    )
    parser.add_argument(
        "--protocol",
        choices=("default", "vifb"),
        default="default",
        help="vifb: the benchmark's thirteen metrics, in colour; its published values are --peers FILE.json",
    )
    _add_common(parser)
    parser.set_defaults(evaluate=_fusion)


def _add_classification(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "classification",
        help="precision, recall, ROC and calibration on a labelled dataset",
        description="Classification by our model on labelled pairs: both cameras, and with either one black.",
    )
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="folder of the dataset")
    parser.add_argument(
        "--layout", choices=tuple(LABELLED), help="how the dataset lies on disk (default: seen from its folders)"
    )
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file, for FLIR, whose pairs are not registered")
    _add_common(parser)
    parser.set_defaults(evaluate=_classification)


def _add_presence(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "presence",
        help="how well each label is told to be there, on sets of whole frames",
        description="ROC-AUC, recall, false alarms and calibration of each label on sets of labelled frames, by day "
        "and by night, with both cameras and with either one missing.",
    )
    labelled.add_arguments(parser)
    _add_common(parser)
    parser.set_defaults(evaluate=_presence)


def _add_detection(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "detection",
        help="average precision and miss rate of the boxes",
        description="COCO's average precision and KAIST's log-average miss rate of the objects that our model finds, "
        "by label, size, day and night, with both cameras and with either one missing.",
    )
    labelled.add_arguments(parser)
    add_methods(parser, "detectors", "judge on")
    _add_common(parser)
    parser.set_defaults(evaluate=_detection)


def _add_bag(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "bag",
        help="the run-time pipeline over rosbag2 bags, without ROS",
        description="Pair, fuse and classify two image topics of bags, every pair once, the same in every run.",
    )
    bag.add_arguments(parser)
    _add_common(parser)
    parser.set_defaults(evaluate=_bag)


def _add_cross(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "cross",
        help="one model over several datasets",
        description="Fusion and classification of one model over several datasets in one table, so that over-fitting "
        "shows.",
    )
    evaluate_datasets.add_cross(parser)
    _add_common(parser)
    parser.set_defaults(evaluate=_cross)


def _add_robustness(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "robustness",
        help="what bad, displaced, black, frozen and late images cost",
        description="Relative drop of fusion metrics against the clean sources, and of classification, when an image "
        "is corrupted (five severities), displaced, black, missing, frozen or late.",
    )
    evaluate_datasets.add_robustness(parser)
    _add_common(parser)
    parser.set_defaults(evaluate=_robustness)


def _add_flicker(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser(
        "flicker",
        help="how still a fused video is where the scene is",
        description="Changes of the fused image from frame to frame where neither source changes.",
    )
    flicker.add_arguments(parser)
    _add_model(parser)
    _add_json(parser)
    parser.set_defaults(evaluate=_flicker, engine="local")


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    _add_json(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a report to DIR/index.html")
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="where: this machine, or a Ray cluster"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, metavar="ONNX", help="our model (default: the one of the package)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the result goes")


def _fusion(args: argparse.Namespace) -> int:
    from vi_fusion_ros.evaluation.fusion.baselines import read_baselines, with_baselines
    from vi_fusion_ros.evaluation.fusion.folders import evaluate_folders, find_frames
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.methods.registry import chosen, left_out

    names = [name for name, _ in args.fused]
    if len(set(names)) < len(names):
        raise ValueError(f"--fused: the names {', '.join(names)} are not unique; expected one folder a name")
    if args.protocol == "vifb" and args.report:
        raise ValueError("--protocol vifb makes no --report; expected --json alone")
    require_methods(args)
    methods = chosen(args.methods, args.weights) if args.methods else []
    for why in left_out(methods) if args.methods == "all" else ():
        print(f"vi-fusion: left out of --methods all: {why}", file=sys.stderr)
    # MAX and AVG stand in every evaluation: twice in the ranks, they would count double.
    rows = ROWS if args.protocol == "default" else {}
    run = {entry.name: entry.weights for entry in methods if entry.name not in rows}
    frames, problems = find_frames(args.visible, args.thermal, dict(args.fused), run)
    model = _model(args.model)
    if args.protocol == "vifb":
        return vifb.run(args, frames, problems, model, _manifest(model), {entry.name: entry for entry in methods})
    peers = read_baselines(args.peers) if args.peers else {}
    evaluation = evaluate_folders(frames, model, args.jobs, problems)
    if peers:
        evaluation = with_baselines(evaluation, peers, args.peers)
    summary = evaluation.summary()
    about = {entry.name: {**entry.as_json(), "row": ROWS.get(entry.name, entry.name)} for entry in methods}
    write_json(args.json, {**summary, "peers": list(peers), "fusion_methods": about, "model": _manifest(model)})
    _print_table(summary)
    _say_partial(evaluation.problems)
    if args.report:
        from vi_fusion_ros.evaluation.reports.fusion import write_report

        print(write_report(args.report, evaluation, frames, model, _command_line()))
    return 0


def _classification(args: argparse.Namespace) -> int:
    from vi_fusion_ros.evaluation.metrics.classification import report
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.prediction import guess_layout, judge

    layout = args.layout or guess_layout(args.data)
    if layout == "single":
        raise ValueError(
            f"{args.data}: images of one camera alone; expected pairs (vi-fusion evaluate presence judges them)"
        )
    model = _model(args.model)
    judged = judge(args.data, layout, model, args.jobs, args.rig)
    result = report(judged)
    write_json(args.json, {**result, "model": _manifest(model)})
    _print_classification(result)
    _say_partial(judged.problems)
    if args.report:
        from vi_fusion_ros.evaluation.reports.classification import write_report

        print(write_report(args.report, judged, result, args.data, model, _command_line()))
    return 0


def _presence(args: argparse.Namespace) -> int:
    model = _model(args.model)
    _say_partial(labelled.run_presence(args, model, _manifest(model), _command_line()))
    return 0


def _detection(args: argparse.Namespace) -> int:
    model = _model(args.model)
    _say_partial(labelled.run_detection(args, model, _manifest(model), _command_line()))
    return 0


def _bag(args: argparse.Namespace) -> int:
    model = _model(args.model)
    result = bag.run(args, model, _manifest(model), _command_line())
    for name, row in result.get("bags", {"": result}).items():
        _print_bag(name, row)
    _say_partial(result["problems"])
    return 0 if args.criteria is None or _meets_criteria(result, len(args.bags)) else 1


def _flicker(args: argparse.Namespace) -> int:
    model = _model(args.model)
    flicker.run(args, model, _manifest(model))
    return 0


def _meets_criteria(result: dict[str, Any], bags: int) -> bool:
    """Print every criterion; whether all of every bag passed. A bag that could not be evaluated has not."""
    from vi_fusion_ros.evaluation.streams.criteria import sentence

    rows = result.get("bags", {"": result})
    for name, row in rows.items():
        for criterion in row["criteria"]:
            print(f"{name + ': ' if name else ''}{sentence(criterion)}")
    return len(rows) == bags and all(c["passed"] for row in rows.values() for c in row["criteria"])


def _print_bag(name: str, result: dict[str, Any]) -> None:
    timings, pairing = result["timings"], result["pairing"]
    print(
        f"{name + ': ' if name else ''}{result['n']} pairs of {pairing['visible_received']} visible and "
        f"{pairing['thermal_received']} thermal images, mean |skew| {pairing['mean_abs_skew_ms']:.1f} ms, "
        f"{timings['pairs_per_s']:.1f} pairs/s, {timings['real_time_factor']:.2f} x real time"
    )
    for label, row in result["labels"].items():
        print(f"{label}: present in {row['present_share']:.1%} of the pairs")
    if result["fusion"]["n"]:
        _print_table({**result["fusion"], "metrics": next(iter(result["fusion"]["methods"].values()))})


def _cross(args: argparse.Namespace) -> int:
    model = _model(args.model)
    _say_partial(evaluate_datasets.run_cross(args, model, _manifest(model), _command_line()))
    return 0


def _robustness(args: argparse.Namespace) -> int:
    model = _model(args.model)
    _say_partial(evaluate_datasets.run_robustness(args, model, _manifest(model), _command_line()))
    return 0


def _named_folder(text: str) -> tuple[str, Path]:
    name, separator, folder = text.partition("=")
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f"'{text}'; expected NAME=DIR")
    return name, Path(folder)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number of at least 1")
    return int(text)


def _model(given: Path | None) -> Path:
    from vi_fusion_ros.evaluation.model_fusion import still_engine
    from vi_fusion_ros.resources import default_model

    model = given or default_model()
    still_engine(model)  # an unusable model is one sentence here, not one from every process
    return model


def _manifest(model: Path) -> dict[str, Any]:
    from vi_fusion_ros.evaluation.model_fusion import still_engine

    manifest = still_engine(model).manifest
    return {"model_id": manifest.model_id, "onnx_sha256": manifest.onnx_sha256}


def _print_table(summary: dict[str, Any]) -> None:
    from vi_fusion_ros.evaluation.fusion.evaluation import SOURCES

    widths = {metric: max(len(metric) + 1, 9) for metric in summary["metrics"]}
    print(f"{summary['n']} frames; mean over frames, higher is better; rank: lower is better, sources unranked (place)")
    print(f"{'method':<14}" + "".join(f"{m:>{width}}" for m, width in widths.items()) + f"{'rank':>8}")
    for method in sorted(summary["methods"], key=summary["mean_rank"].__getitem__):
        means = "".join(_cell(summary["methods"][method][m]["mean"], width) for m, width in widths.items())
        rank = f"{summary['mean_rank'][method]:.2f}"
        print(f"{method:<14}{means}{f'({rank})' if method in SOURCES else rank:>8}")


def _cell(value: float, width: int) -> str:
    return f"{'-':>{width}}" if math.isnan(value) else f"{value:{width}.4g}"


def _print_classification(result: dict[str, Any]) -> None:
    keys = ("macro_f1", "accuracy", "roc_auc", "ece")
    print(f"{'':<16}{'n':>7}" + "".join(f"{key:>10}" for key in keys))
    parts = {"all": result, "day": result["day"], "night": result["night"]}
    parts |= {name: result["modality"][name] for name in ("visible_black", "thermal_black")}
    for name, part in parts.items():
        values = "".join(f"{part[key]:10.3f}" if part.get(key) is not None else f"{'-':>10}" for key in keys)
        print(f"{name:<16}{part['n']:>7}{values}")
    for label, row in result["by_class"].items():
        values = ", ".join(f"{key} {row[key]:.3f}" for key in ("precision", "recall", "f1"))
        print(f"{label}: n {row['n']}, {values}")


def _say_partial(problems: list[str], most: int = 5) -> None:
    if not problems:
        return
    print(f"vi-fusion: partial result, {len(problems)} problems:", file=sys.stderr)
    for sentence in problems[:most]:
        print(f"  {sentence}", file=sys.stderr)
    if len(problems) > most:
        print(f"  and {len(problems) - most} more, all in the JSON", file=sys.stderr)


def _command_line() -> str:
    return shlex.join(["vi-fusion", *sys.argv[1:]])
