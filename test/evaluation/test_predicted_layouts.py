"""A model judged on every layout with labels: what a dataset does not annotate takes no part."""

from __future__ import annotations

from pathlib import Path

import cv2
import layout_maker
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.evaluation.metrics.classification import report
from vi_fusion_ros.evaluation.prediction import LAYOUTS, judge
from vi_fusion_ros.evaluation.reports.classification import write_report
from vi_fusion_ros.registration.rig import Rig, scaling
from vi_fusion_ros.training.datasets.base import DatasetError

KNOWN = {"kaist": {"person"}, "llvip": {"person"}, "m3fd": {"person", "car"}, "msrs": {"person", "car", "bicycle"}}


def two_labels(folder: Path) -> Path:
    changes = {"labels": ["car", "person"], "thresholds": {"car": 0.5, "person": 0.5}}
    return pytest.importorskip("tiny_model").write_model(folder / "two.onnx", changes)


@pytest.mark.parametrize("name", KNOWN)
def test_labels_that_are_not_annotated_are_not_judged(name: str, tmp_path: Path) -> None:
    layout_maker.MAKERS[name](tmp_path / "data")
    judged = judge(tmp_path / "data", name, two_labels(tmp_path), 1)
    assert judged.problems == []
    assert len(judged.samples) == 4
    expected = [[label in KNOWN[name] for label in judged.labels]] * 4
    np.testing.assert_array_equal(judged.known, expected)
    assert judged.present[0, judged.labels.index("person")]
    assert not judged.present[2:].any()


def test_the_layout_without_labels_is_not_offered() -> None:
    assert "paired" not in LAYOUTS


@pytest.mark.parametrize(("name", "version"), [("flir", "flir_v1"), ("flir", "flir_v2"), ("flir_v1_16bit", "flir_v1")])
def test_flir_is_judged_through_a_rig_file(name: str, version: str, tmp_path: Path) -> None:
    layout_maker.MAKERS[version](tmp_path / "data")
    rig = tmp_path / "rig.yaml"
    Rig(scaling((64, 48), (90, 80)), thermal_size=(64, 48), visible_size=(90, 80)).save(rig)
    model = two_labels(tmp_path)
    result = report(judged := judge(tmp_path / "data", name, model, 1, rig))
    assert judged.problems == []
    assert (result["n"], result["rig"]) == (4, str(rig))
    assert {sample.registered for sample in judged.samples} == {False}
    assert sum(size["by_class"]["person"]["n"] for size in result["by_size"].values()) == 2
    page = write_report(tmp_path / "report", judged, result, tmp_path / "data", model, "command")
    assert page.stat().st_size > 10_000


def test_flir_without_a_rig_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout_maker.flir_v1(tmp_path / "data")
    arguments = ["evaluate", "classification", "--data", str(tmp_path / "data"), "--json", str(tmp_path / "out.json")]
    assert main([*arguments, "--layout", "flir"]) == 2
    assert "not registered; expected a rig file (--rig)" in capsys.readouterr().err
    assert main([*arguments, "--rig", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml" in capsys.readouterr().err


def test_a_pair_that_does_not_fit_the_rig_is_left_out(tmp_path: Path) -> None:
    layout_maker.flir_v1(tmp_path / "data")
    cv2.imwrite(str(tmp_path / "data/val/RGB/FLIR_08863.jpg"), np.zeros((50, 90, 3), np.uint8))
    rig = tmp_path / "rig.yaml"
    Rig(scaling((64, 48), (90, 80)), thermal_size=(64, 48), visible_size=(90, 80)).save(rig)
    judged = judge(tmp_path / "data", "flir_v1", two_labels(tmp_path), 1, rig)
    assert len(judged.samples) == 3
    (problem,) = judged.problems
    assert "FLIR_08863.jpg" in problem


def test_published_roadscene_has_nothing_to_judge_by(tmp_path: Path, model: Path) -> None:
    layout_maker.roadscene(tmp_path)
    with pytest.raises(ValueError, match="none of the 4 pairs has a known label"):
        judge(tmp_path, "roadscene", model, 1)
    for path in tmp_path.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DatasetError, match="no usable image pair found for a RoadScene dataset"):
        LAYOUTS["roadscene"](tmp_path).require()
