"""``vi-fusion evaluate presence`` and ``detection``: our model on sets of labelled frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.cli.evaluate.method_options import require_methods
from vi_fusion_ros.training.datasets.layouts import CLASSIFIED

if TYPE_CHECKING:
    from vi_fusion_ros.evaluation.labelled_sets import WantedSet

_PRESENCE = ("roc_auc", "recall", "false_alarm_rate", "recall_at_5", "recall_at_10", "ece")
_DETECTION = ("objects", "ap50", "ap", "log_average_miss_rate")
_SHORT = {
    "roc_auc": "AUC", "false_alarm_rate": "alarms", "recall_at_5": "rec @5%", "recall_at_10": "rec @10%", "ece": "ECE",
    "ap50": "AP50", "ap": "AP50:95", "log_average_miss_rate": "missed",
}  # fmt: skip


class _OfTheLast(argparse.Action):
    """``--layout`` and ``--range``: of the ``--data`` before them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 (argparse calls it so)
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        sets: list[dict[str, Any]] = namespace.data or []
        if self.dest == "data":
            namespace.data = [*sets, {"path": values, "layout": None, "ranges": []}]
        elif not sets:
            raise argparse.ArgumentError(self, f"expected after the --data that {option_string} is about")
        elif self.dest == "layout":
            sets[-1]["layout"] = values
        else:
            sets[-1]["ranges"].append(tuple(values or ()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the sets."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        action=_OfTheLast,
        metavar="PATH",
        help="folder of a dataset, or a zip file of one; may be given again",
    )
    parser.add_argument(
        "--layout",
        choices=tuple(CLASSIFIED),
        action=_OfTheLast,
        help="how the --data before it lies on disk (default: seen from its folders)",
    )
    parser.add_argument(
        "--range",
        type=int,
        nargs=2,
        action=_OfTheLast,
        metavar=("LOW", "HIGH"),
        help="of the --data before it only the samples whose order is at least LOW and below HIGH (docs/datasets.md); "
        "may be given again",
    )


def run_presence(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> list[str]:
    """Evaluate, write JSON and report, print a table.

    Args:
        args: of the command line.
        model: the ONNX file.
        about_model: what the JSON says of it.
        command: what the user typed.

    Returns:
        What was left out, in sentences.
    """
    from vi_fusion_ros.evaluation.labelled_sets import opened
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.studies.presence import judge_sets, summary

    with opened(wanted_sets(args)) as sets:
        judged = judge_sets(sets, model, args.jobs)
        result = summary(judged)
        write_json(args.json, {**result, "model": about_model})
        _print(result, _PRESENCE)
        if args.report:
            from vi_fusion_ros.evaluation.reports.presence import write_report

            print(write_report(args.report, judged, result, model, command))
    return list(result["problems"])


def run_detection(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> list[str]:
    """As ``run_presence``, of boxes."""
    from vi_fusion_ros.evaluation.labelled_sets import opened
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.studies.detection import judge_boxes, summary
    from vi_fusion_ros.evaluation.studies.detectors import judge_detector, summary_of
    from vi_fusion_ros.methods.registry import chosen_detectors

    require_methods(args)
    detectors = chosen_detectors(args.methods, args.weights) if args.methods else []
    with opened(wanted_sets(args)) as sets:
        judged = judge_boxes(sets, model, args.jobs)
        result = summary(judged)
        if detectors:
            result["methods"] = {one.name: summary_of(judge_detector(judged, one, args.jobs), one) for one in detectors}
        write_json(args.json, {**result, "model": about_model})
        _print(result, _DETECTION)
        for name, row in result.get("methods", {}).items():
            print(f"method {name}: {row['faithful']}")
            _print(row, _DETECTION)
        if args.report:
            from vi_fusion_ros.evaluation.reports.detection import write_report

            print(write_report(args.report, judged, result, model, command))
    return list(result["problems"])


def wanted_sets(args: argparse.Namespace) -> list[WantedSet]:
    """The sets that the options of ``add_arguments`` choose.

    Raises:
        ValueError: a range is empty.
    """
    from vi_fusion_ros.evaluation.labelled_sets import WantedSet

    for one in args.data:
        for low, high in one["ranges"]:
            if low >= high:
                raise ValueError(f"--range {low} {high} of {one['path']}: expected LOW below HIGH")
    return [WantedSet(one["path"], one["layout"], tuple(one["ranges"])) for one in args.data]


def _print(result: dict[str, Any], keys: tuple[str, ...]) -> None:
    print(f"{'set':<18}{'cameras':<16}{'label':<10}{'n':>6}" + "".join(f"{_SHORT.get(key, key):>10}" for key in keys))
    sets = {**result["sets"], **({"all": result["all"]} if len(result["sets"]) > 1 else {})}
    for name, row in sets.items():
        for condition, found in row["conditions"].items():
            if found["n"]:
                parts = {**found["labels"], "mean": found.get("mean", found)}
                for label, part in parts.items():
                    cells = "".join(_cell(part.get(key)) for key in keys)
                    print(f"{name[-17:]:<18}{condition:<16}{label:<10}{found['n']:>6}{cells}")


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>10}"
    return f"{value:>10}" if isinstance(value, int) else f"{value:10.3f}"
