"""Criteria that the result of a bag has to meet: a scenario file, what was measured, and JUnit XML for CI."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vi_fusion_ros.evaluation.fusion.evaluation import OURS
from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.streams.region_temperatures import Region
from vi_fusion_ros.evaluation.streams.stream_evaluation import STAGES
from vi_fusion_ros.sync.pairing import Drop
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.yaml_files import is_finite_number, read_yaml, shown

_PERCENTILES = ("p50", "p95", "p99")
_PAIRING = ("visible_rate_hz", "thermal_rate_hz", "mean_abs_skew_ms", "max_abs_skew_ms")
_KEYS = {"name", "measure", "at_least", "at_most", "expected", "region"}
_TEMPERATURES = ("temperature_c.min", "temperature_c.mean", "temperature_c.max")
_WITHOUT_LABEL = (
    "pairs", "pair_rate_hz", *_PAIRING, "problems", "overlap", "invalid", "drops",
    *(f"drops.{drop.value}" for drop in Drop),
    *(f"latency_ms.{stage}.{p}" for stage in STAGES for p in _PERCENTILES),
    *(f"fusion.{metric}" for metric in METRICS),
    *_TEMPERATURES,
)  # fmt: skip


@dataclass(frozen=True)
class Criterion:
    """One thing that a result has to meet.

    Attributes:
        name: for people and for CI.
        measure: what is measured (docs/gate.md lists them).
        at_least: lower bound, inclusive, in the unit of the measure; None: no bound.
        at_most: upper bound, inclusive.
        expected: of ``timeline.LABEL``: intervals [from, to) in which the label is there, in seconds from the stamp
            of the first pair.
        region: of ``temperature_c``: x, y, width and height, pixels of the visible image.
    """

    name: str
    measure: str
    at_least: float | None
    at_most: float | None
    expected: tuple[tuple[float, float], ...] = ()
    region: Region | None = None


def read_criteria(path: Path) -> list[Criterion]:
    """Read a scenario file.

    Raises:
        ValueError: it is not like docs/gate.md says; one sentence with the file and the entry.
    """
    content = read_yaml(path, "criteria file")
    entries = content.get("criteria") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or set(content) != {"criteria"}:
        raise ValueError(f"criteria file {path}: expected one key, criteria, with a list of at least one criterion")
    criteria = [_criterion(f"criteria file {path}, entry {k}", entry) for k, entry in enumerate(entries, 1)]
    names = [criterion.name for criterion in criteria]
    if len(set(names)) < len(names):
        raise ValueError(f"criteria file {path}: two criteria have the same name; expected different ones")
    return criteria


def _criterion(where: str, entry: Any) -> Criterion:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: {shown(entry)}; expected measure with at_least or at_most")  # noqa: TRY004 (a user's)
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise ValueError(f"{where}: unknown key {shown(unknown[0])}; expected {', '.join(sorted(_KEYS))}")
    measure = entry.get("measure")
    kind, _, label = measure.partition(".") if isinstance(measure, str) else ("", "", "")
    if not isinstance(measure, str) or not (measure in _WITHOUT_LABEL or (kind in ("present", "timeline") and label)):
        raise ValueError(f"{where}: {shown(measure)} is no measure; expected one of those in docs/gate.md")
    bounds = {key: entry[key] for key in ("at_least", "at_most") if key in entry}
    if not bounds or not all(is_finite_number(bound) for bound in bounds.values()):
        raise ValueError(f"{where}: expected a number as at_least, at_most or both")
    name = entry.get("name", measure)
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: the name is {shown(name)}; expected text")
    if ("expected" in entry) != (kind == "timeline"):
        raise ValueError(f"{where}: expected intervals belong to timeline.LABEL, and to nothing else")
    intervals = _intervals(where, entry.get("expected", []))
    if ("region" in entry) != (kind == "temperature_c"):
        raise ValueError(f"{where}: a region belongs to temperature_c, which needs one, and to nothing else")
    region = _region(where, entry["region"]) if "region" in entry else None
    return Criterion(name, measure, bounds.get("at_least"), bounds.get("at_most"), intervals, region)


def _region(where: str, given: Any) -> Region:
    whole = isinstance(given, list) and len(given) == 4 and all(type(number) is int for number in given)
    if not (whole and min(given[:2]) >= 0 and min(given[2:]) >= 1):
        raise ValueError(f"{where}: the region is {shown(given)}; expected [x, y, width, height], whole pixels")
    x, y, width, height = given
    return x, y, width, height


def check_radiometry(criteria: list[Criterion], radiometry: Radiometry | None) -> None:
    """Refuse criteria about temperatures where nobody says what a count is.

    Raises:
        ValueError: one sentence.
    """
    asked = next((criterion for criterion in criteria if criterion.region), None)
    if asked is not None and radiometry is None:
        raise ValueError(
            f"--criteria: {asked.measure} needs the radiometry of the thermal camera; expected it in --rig or as "
            "thermal.radiometry in --parameters"
        )


def _intervals(where: str, given: Any) -> tuple[tuple[float, float], ...]:
    intervals: list[Any] = given if isinstance(given, list) else [None]
    for pair in intervals:
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(is_finite_number, pair)) and pair[0] < pair[1]):
            raise ValueError(f"{where}: expected intervals as a list of [from_s, to_s], from_s before to_s")
    return tuple((float(start), float(end)) for start, end in intervals)


def check_labels(criteria: list[Criterion], labels: tuple[str, ...]) -> None:
    """Refuse criteria about labels that the model does not have.

    Raises:
        ValueError: one sentence.
    """
    for criterion in criteria:
        kind, _, label = criterion.measure.partition(".")
        if kind in ("present", "timeline") and label not in labels:
            raise ValueError(f"--criteria: {label} is no label of the model; expected {', '.join(labels)}")


def judge(criteria: list[Criterion], result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each criterion with its measured value.

    Args:
        criteria: of the scenario.
        result: of one bag, as ``stream_evaluation.summary`` gives it.

    Returns:
        For each criterion ``name``, ``measure``, ``at_least``, ``at_most``, ``value`` (None where nothing could be
        measured) and ``passed``. What could not be measured has not passed.
    """
    rows = []
    for criterion in criteria:
        value = _measure(criterion, result)
        value = None if value is None or not math.isfinite(value) else float(value)
        low = -math.inf if criterion.at_least is None else criterion.at_least
        high = math.inf if criterion.at_most is None else criterion.at_most
        rows.append(
            {
                "name": criterion.name,
                "measure": criterion.measure,
                "at_least": criterion.at_least,
                "at_most": criterion.at_most,
                "value": value,
                "passed": value is not None and low <= value <= high,
            }
        )
    return rows


def _measure(criterion: Criterion, result: dict[str, Any]) -> float | None:
    kind, _, rest = criterion.measure.partition(".")
    pairing = result["pairing"]
    if kind in _PAIRING:
        return pairing[kind]  # type: ignore[no-any-return]
    if kind in ("drops", "invalid"):
        return pairing[kind].get(rest, 0) if rest else sum(pairing[kind].values())  # type: ignore[no-any-return]
    if kind == "latency_ms":
        stage, _, percentile = rest.partition(".")
        return result["timings"]["latency_ms"][stage][percentile]  # type: ignore[no-any-return]
    if kind == "fusion":
        return result["fusion"]["methods"][OURS][rest]["mean"] if result["fusion"]["n"] else None
    if kind == "present":
        return result["labels"][rest]["present_share"]  # type: ignore[no-any-return]
    if kind == "timeline":
        return _agreement(criterion, rest, result)
    if kind == "temperature_c":
        return next(row[rest] for row in result["temperatures"] if tuple(row["region"]) == criterion.region)  # type: ignore[no-any-return]
    if kind == "pair_rate_hz":
        stamps = result["timeline"]["stamp_ns"]
        span_s = (max(stamps) - min(stamps)) / 1e9
        return (result["n"] - 1) / span_s if span_s > 0 else None
    return {"pairs": result["n"], "problems": len(result["problems"]), "overlap": result["overlap"]["mean"]}[kind]


def _agreement(criterion: Criterion, label: str, result: dict[str, Any]) -> float:
    """Share of the pairs in which the label is told to be there exactly where it is expected."""
    stamps = result["timeline"]["stamp_ns"]
    runs, first = result["labels"][label]["present_stamps_ns"], min(stamps)
    agree = 0
    for stamp in stamps:
        told = any(start <= stamp <= end for start, end in runs)
        seconds = (stamp - first) / 1e9
        agree += told == any(start <= seconds < end for start, end in criterion.expected)
    return agree / len(stamps)


def sentence(row: dict[str, Any]) -> str:
    """A row of ``judge`` for people."""
    bounds = [f"{word.replace('_', ' ')} {row[word]:g}" for word in ("at_least", "at_most") if row[word] is not None]
    value = "not measured" if row["value"] is None else f"{row['value']:.6g}"
    verdict = "pass" if row["passed"] else "FAIL"
    return f"{verdict}  {row['name']}: {row['measure']} {value} ({', '.join(bounds)})"


def junit(bags: dict[str, list[dict[str, Any]] | str]) -> str:
    """JUnit XML: a suite a bag, a case a criterion.

    Args:
        bags: by name the rows of ``judge``, or why the bag could not be evaluated, which is an error.
    """
    root = ET.Element("testsuites")
    for name, rows in bags.items():
        broken = isinstance(rows, str)
        failures = 0 if isinstance(rows, str) else sum(not row["passed"] for row in rows)
        counts = {"tests": str(1 if broken else len(rows)), "failures": str(failures), "errors": str(int(broken))}
        suite = ET.SubElement(root, "testsuite", {"name": name, **counts})
        if isinstance(rows, str):
            case = ET.SubElement(suite, "testcase", {"classname": name, "name": "evaluated"})
            ET.SubElement(case, "error", {"message": rows})
            continue
        for row in rows:
            case = ET.SubElement(suite, "testcase", {"classname": name, "name": row["name"]})
            if row["passed"]:
                ET.SubElement(case, "system-out").text = sentence(row)
            else:
                ET.SubElement(case, "failure", {"message": sentence(row)})
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False) + "\n"
