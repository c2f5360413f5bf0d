"""``vi-fusion evaluate bag --criteria`` on real bags: verdicts, exit codes, JUnit XML, and files that are wrong."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bag_maker import THERMAL, VISIBLE, streams, write_bag

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.streams.criteria import read_criteria


def evaluate(bags: list[Path], model: Path, folder: Path, criteria: str) -> int:
    (folder / "criteria.yaml").write_text(criteria)
    topics = ["--visible-topic", VISIBLE, "--thermal-topic", THERMAL, "--model", str(model), "--jobs", "1"]
    files = ["--json", str(folder / "out.json"), "--junit", str(folder / "out.xml")]
    return cli.main(["evaluate", "bag", *map(str, bags), *topics, *files, "--criteria", str(folder / "criteria.yaml")])


MEASURES = """
criteria:
  - {name: rate, measure: pair_rate_hz, at_least: 29.9, at_most: 30.1}
  - {measure: pairs, at_least: 30, at_most: 30}
  - {measure: max_abs_skew_ms, at_most: 4}
  - {measure: drops, at_most: 0}
  - {measure: drops.late, at_most: 0}
  - {measure: invalid, at_most: 0}
  - {measure: problems, at_most: 0}
  - {measure: overlap, at_least: 0.99}
  - {measure: latency_ms.total.p95, at_least: 0}
  - {measure: fusion.Qabf, at_least: 0}
  - {measure: present.warm, at_least: 0, at_most: 1}
"""


def test_all_pass(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(1))
    assert evaluate([bag], model, tmp_path, MEASURES) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["criteria"]
    assert [row["passed"] for row in rows] == [True] * 11
    assert rows[0]["value"] == pytest.approx(30, abs=0.1)
    assert rows[1]["value"] == 30
    suite = ET.parse(tmp_path / "out.xml").getroot()[0]
    assert suite.attrib == {"name": "bag", "tests": "11", "failures": "0", "errors": "0"}


def test_one_that_fails(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", streams(1, 30, 9))
    assert evaluate([bag], model, tmp_path, MEASURES) == 1
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["criteria"]}
    assert not rows["rate"]["passed"]
    assert rows["pairs"]["value"] == 9
    assert rows["drops"]["value"] == 21
    assert "FAIL  pairs: pairs 9 (at least 30, at most 30)" in capsys.readouterr().out
    failed = [
        case.get("name") for case in ET.parse(tmp_path / "out.xml").getroot()[0] if case.find("failure") is not None
    ]
    assert failed == [name for name, row in rows.items() if not row["passed"]]


def test_the_timeline_is_held_against_intervals(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(1))
    text = """
criteria:
  - {name: always, measure: timeline.warm, expected: [[0, 10]], at_least: 0}
  - {name: never, measure: timeline.warm, expected: [], at_least: 0}
  - {name: share, measure: present.warm, at_least: 0}
"""
    assert evaluate([bag], model, tmp_path, text) == 0
    always, never, share = (row["value"] for row in json.loads((tmp_path / "out.json").read_text())["criteria"])
    assert always == pytest.approx(share, abs=1e-5)
    assert never == pytest.approx(1 - share, abs=1e-5)


def test_a_bag_that_cannot_be_evaluated_is_an_error(tmp_path: Path, model: Path) -> None:
    good, bad = write_bag(tmp_path / "good", streams(0.5)), tmp_path / "bad.mcap"
    bad.write_bytes(b"no bag")
    text = "criteria:\n  - {measure: pairs, at_least: 1}\n"
    assert evaluate([good, bad], model, tmp_path, text) == 1
    suites = {suite.get("name"): suite for suite in ET.parse(tmp_path / "out.xml").getroot()}
    assert suites["good"].get("errors") == "0"
    assert suites["bad"].get("errors") == "1"
    assert evaluate([bad], model, tmp_path, text) == 2
    assert ET.parse(tmp_path / "out.xml").getroot()[0].get("errors") == "1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "expected one key, criteria"),
        ("criteria: []", "at least one criterion"),
        ("criteria: [{measure: speed, at_least: 1}]", "'speed' is no measure"),
        ("criteria: [{measure: pairs}]", "expected a number as at_least"),
        ("criteria: [{measure: pairs, at_least: .nan}]", "expected a number as at_least"),
        ("criteria: [{measure: pairs, atleast: 1}]", "unknown key 'atleast'"),
        ("criteria: [{measure: timeline.warm, at_least: 1}]", "expected intervals belong to timeline"),
        ("criteria: [{measure: timeline.warm, at_least: 1, expected: [[2, 1]]}]", "from_s before to_s"),
        ("criteria: [{measure: present.cow, at_least: 1}]", "cow is no label of the model; expected bright, warm"),
        ("criteria: [{measure: pairs, at_least: 1}, {measure: pairs, at_most: 1}]", "the same name"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, model: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.2))
    assert evaluate([bag], model, tmp_path, text) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("name", ["recording", "release"])
def test_the_examples_are_read(repo_root: Path, name: str) -> None:
    assert len(read_criteria(repo_root / "config" / "criteria" / f"{name}.yaml")) >= 4
