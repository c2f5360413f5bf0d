"""``vi-fusion doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vi_fusion_ros.doctor.findings import Finding, Level, exit_code

_MARKS = {Level.OK: "ok  ", Level.NOTE: "note", Level.WARNING: "WARN", Level.ERROR: "FAIL"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``vi-fusion``."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this machine, the model, the rig file and the cameras' topics",
        epilog="exit status: 0 nothing to mend, 1 warnings, 2 something that is needed is missing or broken",
    )
    parser.add_argument("--visible-topic", metavar="TOPIC", help="look at this image topic of the visible camera")
    parser.add_argument("--thermal-topic", metavar="TOPIC", help="the same of the thermal camera")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the look (default 5)")
    parser.add_argument("--model", type=Path, metavar="ONNX", help="model (default: the one that the package ships)")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default 2)")
    parser.add_argument("--rig", type=Path, metavar="FILE", help="rig file")
    parser.add_argument(
        "--json", nargs="?", type=Path, const=Path("-"), metavar="FILE", help="JSON to FILE, or to stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Look at everything, print, and return what the exit status is to be."""
    if not 0 < args.seconds <= 3600:
        raise ValueError("--seconds must be above 0 and at most 3600")
    if args.threads < 1:
        raise ValueError("--threads must be at least 1")
    quiet = args.json == Path("-")
    findings, section = [], ""
    for finding in _findings(args):
        findings.append(finding)
        if not quiet:
            section = _print(finding, section)
    status = exit_code(findings)
    if not quiet:
        counts = {level: sum(finding.level == level for finding in findings) for level in Level}
        sys.stdout.write(f"\n{counts[Level.ERROR]} to mend, {counts[Level.WARNING]} warnings\n")
    if args.json:
        _write_json(args.json, findings, status)
    return status


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from vi_fusion_ros.doctor import packages, ros_environment

    yield from packages.python()
    yield from packages.packages()
    yield from ros_environment.ros()
    yield from ros_environment.dds()
    if any(importlib.util.find_spec(package.module) is None for package in packages.PACKAGES if package.needed):
        return  # the rest could not even be imported
    from vi_fusion_ros.doctor import model
    from vi_fusion_ros.resources import default_model

    yield from model.hardware()
    yield from model.model(args.model or default_model(), args.threads)
    yield from model.rig(args.rig)
    yield from _topics(args)


def _topics(args: argparse.Namespace) -> Iterator[Finding]:
    given = {"visible": args.visible_topic, "thermal": args.thermal_topic}
    topics = {camera: topic for camera, topic in given.items() if topic}
    if not topics:
        advice = "Give --visible-topic and --thermal-topic while the cameras run."
        yield Finding("Topics", "cameras", Level.NOTE, "not looked at", advice)
        return
    if importlib.util.find_spec("rclpy") is None:
        yield Finding("Topics", "cameras", Level.ERROR, "cannot be looked at without ROS 2", "Source a ROS 2.")
        return
    from vi_fusion_ros.doctor.topics import judge
    from vi_fusion_ros.registration.rig import Rig
    from vi_fusion_ros.tools.topic_probe import probe

    try:
        rig = Rig.load(args.rig) if args.rig else None
    except ValueError:  # it has been told already
        rig = None
    yield from judge(probe(topics, args.seconds), args.seconds, rig)


def _print(finding: Finding, section: str) -> str:
    if finding.section != section:
        sys.stdout.write(f"\n{finding.section}\n")
    sys.stdout.write(f"  {_MARKS[finding.level]}  {finding.subject}: {finding.says}\n")
    if finding.advice:
        sys.stdout.write(f"        -> {finding.advice}\n")
    sys.stdout.flush()
    return finding.section


def _write_json(path: Path, findings: list[Finding], status: int) -> None:
    content: dict[str, Any] = {
        "exit_code": status,
        "findings": [
            {
                "section": finding.section,
                "subject": finding.subject,
                "level": finding.level.name.lower(),
                "says": finding.says,
                "advice": finding.advice,
            }
            for finding in findings
        ],
    }
    if path == Path("-"):
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return
    from vi_fusion_ros.evaluation.output import write_json

    write_json(path, content)
