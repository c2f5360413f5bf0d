"""``vi-fusion study``: ask people which method's pictures they prefer, and say what they answered."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from vi_fusion_ros.cli.named_paths import named_paths

_COUNT = 100


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "study",
        help="ask people which method's pictures they prefer",
        usage="vi-fusion study NAME=DIR NAME=DIR [NAME=DIR …] --study DIR [--count N] [--port N]\n"
        "       vi-fusion study report --study DIR [--visible DIR --thermal DIR] --json FILE [--report DIR] [--jobs N]",
        description="With folders of pictures, serves a page on this machine: one person after another chooses "
        "between two methods' pictures of one scene, blinded. 'report' says what they answered.",
    )
    parser.add_argument(
        "what", nargs="+", metavar="NAME=DIR|report", help="pictures of each method, by scene; or: report"
    )
    parser.add_argument("--study", type=Path, required=True, metavar="DIR", help="folder that keeps the answers")
    parser.add_argument(
        "--count", type=int, metavar="N", help=f"questions a person (default {_COUNT}, or all if fewer)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="of the page (default: a free one)")
    parser.add_argument(
        "--visible", type=Path, metavar="DIR", help="report: visible images of the scenes, for the metrics"
    )
    parser.add_argument("--thermal", type=Path, metavar="DIR", help="report: their thermal images, registered")
    parser.add_argument("--json", type=Path, metavar="FILE", help="report: where the figures go")
    parser.add_argument("--report", type=Path, metavar="DIR", help="report: folder for a page (index.html)")
    parser.add_argument("--jobs", type=int, metavar="N", help="report: processes for the metrics (default 1)")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted, or report."""
    asking, reporting = ("count", "port"), ("visible", "thermal", "json", "report", "jobs")
    is_report = args.what == ["report"]
    for name in asking if is_report else reporting:
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} belongs to study {'NAME=DIR' if is_report else 'report'}; expected it there")
    return _report(args) if is_report else _ask(args)


def _ask(args: argparse.Namespace) -> int:
    from vi_fusion_ros.cli.study.server import StudyPage
    from vi_fusion_ros.evaluation.preference.record import Study, answers_of

    pictures = named_paths(args.what, "DIR")
    count = _COUNT if args.count is None else args.count
    if count < 1:
        raise ValueError(f"--count is {count}; expected at least 1")
    study = Study(args.study, pictures, count)
    try:
        page = StudyPage(study, args.port or 0)
        sys.stderr.write(
            f"vi-fusion: the study is at {page.url} on this machine; Ctrl-C ends it, and it can go on later\n"
        )
        try:
            page.serve()
        except KeyboardInterrupt:
            sys.stderr.write("\n")
        print(f"{args.study}: {answers_of(page.answers(), len(study.people))}")
    finally:
        study.close()
    return 0


def _report(args: argparse.Namespace) -> int:
    from vi_fusion_ros.evaluation.output import write_json
    from vi_fusion_ros.evaluation.preference.record import answers_of, read_people, read_study
    from vi_fusion_ros.evaluation.preference.summary import metrics_of, summary

    if args.json is None:
        raise ValueError("study report needs --json FILE for its figures")
    if (args.visible is None) != (args.thermal is None):
        raise ValueError("--visible and --thermal belong together; expected both, or neither and no metrics")
    study = read_study(args.study)
    people = read_people(args.study)
    if not any(person.answers for person in people):
        raise ValueError(f"{args.study}: nobody has answered yet; expected at least one answer")
    metrics = None if args.visible is None else metrics_of(study, args.visible, args.thermal, args.jobs or 1)
    result = summary(study, people, metrics)
    if args.report:
        from vi_fusion_ros.evaluation.reports.preference import write_report

        write_report(args.report, result, shlex.join(["vi-fusion", *sys.argv[1:]]))
    write_json(args.json, result)
    print(answers_of(result["n"], sum(bool(person.answers) for person in people)))
    for name, row in sorted(result["methods"].items(), key=lambda item: -item[1]["score"]):
        low, high = row["ci95"]
        print(f"{name:<20}{row['score']:7.2f}  [{low:.2f}, {high:.2f}]  chosen {row['chosen']} of {row['asked']}")
    return 0
