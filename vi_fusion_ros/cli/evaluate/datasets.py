"""``vi-fusion evaluate robustness`` and ``cross``: our model on whole datasets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.training.datasets.layouts import REGISTERED

if TYPE_CHECKING:
    from vi_fusion_ros.evaluation.pairs import PairSet


def add_robustness(parser: argparse.ArgumentParser) -> None:
    """Add the options that only robustness has."""
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="folder of the dataset")
    parser.add_argument("--layout", choices=tuple(REGISTERED), help="how it lies on disk (default: by its folders)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random numbers (default: 0)")
    _add_limit(parser)


def run_robustness(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> list[str]:
    """Evaluate, write JSON and report, print a table.

    Args:
        args: of the command line.
        model: the ONNX file.
        about_model: what the JSON says of it.
        command: what the user typed.

    Returns:
        What was left out, in sentences.
    """
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.pairs import PairSet
    from vi_fusion_ros.evaluation.studies.robustness import evaluate_robustness

    if args.seed < 0:
        raise ValueError(f"--seed {args.seed}; expected 0 or more")
    pairs = PairSet.find(args.data, args.layout, args.limit)
    robustness = evaluate_robustness(pairs, model, args.jobs, args.seed)
    result = robustness.summary()
    write_json(args.json, {**result, "model": about_model})
    _print_robustness(result)
    if args.report:
        from vi_fusion_ros.evaluation.reports.robustness import write_report

        print(write_report(args.report, robustness, result, model, command))
    return robustness.problems


def add_cross(parser: argparse.ArgumentParser) -> None:
    """Add the options that only cross has."""
    parser.add_argument(
        "datasets",
        nargs="+",
        metavar="[LAYOUT=]PATH",
        help=f"folder of a dataset; its layout is guessed where not given ({', '.join(REGISTERED)})",
    )
    _add_limit(parser)


def run_cross(args: argparse.Namespace, model: Path, about_model: dict[str, Any], command: str) -> list[str]:
    """Evaluate, write JSON and report, print a table.

    Args:
        args: of the command line.
        model: the ONNX file.
        about_model: what the JSON says of it.
        command: what the user typed.

    Returns:
        What was left out, in sentences.
    """
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.studies.cross_dataset import evaluate_cross, summary

    results = evaluate_cross(_datasets(args.datasets, args.limit), model, args.jobs)
    result = summary(results, model)
    write_json(args.json, {**result, "model": about_model})
    _print_cross(result)
    if args.report:
        from vi_fusion_ros.evaluation.reports.cross_dataset import write_report

        print(write_report(args.report, results, result, model, command))
    return [f"{name}: {problem}" for name, row in results.items() for problem in row.problems]


def _datasets(given: list[str], limit: int | None) -> dict[str, PairSet]:
    """The datasets by the names of their folders; by their paths, where two folders have one name."""
    from vi_fusion_ros.evaluation.pairs import PairSet

    found = {}
    for text in given:
        layout, separator, folder = text.partition("=")
        known = bool(separator) and layout in REGISTERED
        path = Path(folder if known else text)
        if path in found:
            raise ValueError(f"{path} is given twice; expected different datasets")
        found[path] = PairSet.find(path, layout if known else None, limit)
    names = [path.resolve().name for path in found]
    return {
        name if names.count(name) == 1 else str(path): pairs
        for name, (path, pairs) in zip(names, found.items(), strict=True)
    }


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="at most so many pairs of a dataset, evenly spread (default: all)"
    )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}'; expected a whole number of at least 1")
    return int(text)


def _print_cross(result: dict[str, Any]) -> None:
    from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED
    from vi_fusion_ros.evaluation.studies.cross_dataset import SCORES, means_of

    told = {"recall": "recall", "false_alarm_rate": "alarms", "ap50": "AP50"}
    print(f"{'dataset':<22}{'n':>7}" + "".join(f"{name:>10}" for name in (*RANKED, *SCORES[:3], "ece", *told.values())))
    for name, row in result["datasets"].items():
        fusion, found = row["fusion"], row["classification"]
        values = [fusion["methods"][OURS][metric]["mean"] if fusion else None for metric in RANKED]
        values += [found[score] if found else None for score in (*SCORES[:3], "ece")]
        values += [means_of(row)[key] for key in told]
        cells = "".join(f"{'-' if value is None else f'{value:.4g}':>10}" for value in values)
        print(f"{name[-22:]:<22}{row['n']:>7}{cells}")


def _print_robustness(result: dict[str, Any]) -> None:
    from vi_fusion_ros.evaluation.studies.robustness import mean_drops

    rows = mean_drops(result)
    print(f"{result['n']} pairs; drop relative to clean images, mean over the levels; negative: the value rose")
    print(f"{'':<22}" + "".join(f"{column:>10}" for column in next(iter(rows.values()))))
    for name, row in rows.items():
        print(f"{name:<22}" + "".join(f"{'-' if drop is None else f'{drop:+.1%}':>10}" for drop in row.values()))
