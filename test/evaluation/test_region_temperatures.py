"""``evaluate bag --criteria`` about the temperature of a region: on a real bag, with and without what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bag_maker import THERMAL, VISIBLE, picture, streams, write_bag

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.streams.region_temperatures import RegionTemperatures
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import Frame, FramePair, FusionResult

CRITERIA = """
criteria:
  - {name: hottest, measure: temperature_c.max, region: [10, 60, 20, 16], at_most: 200}
  - {name: coldest, measure: temperature_c.min, region: [10, 60, 20, 16], at_least: -50}
  - {name: mean, measure: temperature_c.mean, region: [10, 60, 20, 16], at_least: -50}
  - {name: where the square passes, measure: temperature_c.max, region: [0, 20, 128, 30], at_least: 96, at_most: 97}
  - {name: beyond, measure: temperature_c.max, region: [500, 500, 4, 4], at_most: 200}
"""


def evaluate(bag: Path, model: Path, folder: Path, criteria: str, radiometry: str | None = "tlinear_0.01") -> int:
    (folder / "criteria.yaml").write_text(criteria)
    options = ["--visible-topic", VISIBLE, "--thermal-topic", THERMAL, "--model", str(model), "--jobs", "1"]
    if radiometry:
        (folder / "node.yaml").write_text(f"/**:\n  ros__parameters:\n    thermal.radiometry: {radiometry}\n")
        options += ["--parameters", str(folder / "node.yaml")]
    files = ["--json", str(folder / "out.json"), "--criteria", str(folder / "criteria.yaml")]
    return cli.main(["evaluate", "bag", str(bag), *options, *files])


def test_the_temperature_of_a_region_is_that_of_the_counts(tmp_path: Path, model: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.5, deep=True))
    assert evaluate(bag, model, tmp_path, CRITERIA) == 1
    result = json.loads((tmp_path / "out.json").read_text())
    rows = {row["name"]: row for row in result["criteria"]}
    truth = picture(0, THERMAL, True)[60:76, 10:30] * 0.01 - 273.15  # nothing moves there
    assert rows["hottest"]["value"] == pytest.approx(truth.max(), abs=0.01)
    assert rows["coldest"]["value"] == pytest.approx(truth.min(), abs=0.01)
    assert rows["mean"]["value"] == pytest.approx(truth.mean(), abs=0.01)
    assert rows["where the square passes"]["value"] == pytest.approx((250 * 40 + 27000) * 0.01 - 273.15, abs=0.01)
    assert rows["beyond"]["value"] is None
    assert [row["passed"] for row in rows.values()] == [True, True, True, True, False]  # not measured is not passed
    assert [(row["region"], row["pairs"]) for row in result["temperatures"]] == [
        ([10, 60, 20, 16], 15), ([0, 20, 128, 30], 15), ([500, 500, 4, 4], 0)
    ]  # fmt: skip


def test_places_without_thermal_data_take_no_part() -> None:
    counts = np.full((40, 60), 30000, np.uint16)
    counts[:, 30:] = 0
    mask = np.where(counts > 0, 255, 0).astype(np.uint8)
    pair = FramePair(Frame(np.zeros((40, 60, 3), np.uint8)), Frame(counts))
    result = FusionResult(pair, pair.visible.image, np.zeros((40, 60), np.float32), counts, mask, 0.5, (), "day", 1.0)
    temperatures = RegionTemperatures([(20, 0, 20, 10), (40, 0, 20, 10)])
    temperatures.take(result, Radiometry(0.01))
    half, none = temperatures.summary()
    assert (half["min"], half["max"], half["pairs"]) == (pytest.approx(26.85, abs=0.01),) * 2 + (1,)
    assert (none["min"], none["mean"], none["max"], none["pairs"]) == (None, None, None, 0)


def test_without_a_radiometry_it_is_refused(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.2, deep=True))
    assert evaluate(bag, model, tmp_path, CRITERIA, radiometry=None) == 2
    error = capsys.readouterr().err
    assert "temperature_c.max needs the radiometry of the thermal camera" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{measure: temperature_c.max, at_most: 1}", "a region belongs to temperature_c, which needs one"),
        ("{measure: pairs, at_least: 1, region: [0, 0, 1, 1]}", "a region belongs to temperature_c"),
        ("{measure: temperature_c.max, at_most: 1, region: [0, 0, 1]}", "expected [x, y, width, height], whole pixels"),
        ("{measure: temperature_c.max, at_most: 1, region: [0, 0, 1, 0]}", "expected [x, y, width, height]"),
        ("{measure: temperature_c.max, at_most: 1, region: [-1, 0, 1, 1]}", "expected [x, y, width, height]"),
        ("{measure: temperature_c.max, at_most: 1, region: [0, 0.5, 1, 1]}", "expected [x, y, width, height]"),
        ("{measure: temperature_c.max, at_most: 1, region: here}", "expected [x, y, width, height]"),
        ("{measure: temperature_c.median, at_most: 1, region: [0, 0, 1, 1]}", "'temperature_c.median' is no measure"),
    ],
)
def test_a_wrong_region_is_one_sentence(
    tmp_path: Path, model: Path, entry: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.2, deep=True))
    assert evaluate(bag, model, tmp_path, f"criteria: [{entry}]") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
