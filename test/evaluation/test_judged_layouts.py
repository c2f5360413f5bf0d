"""A model judged on every layout with labels: what a dataset does not annotate takes no part."""

from __future__ import annotations

from pathlib import Path

import layout_maker
import numpy as np
import pytest

from vi_fusion_ros.evaluation.judging import LAYOUTS, judge
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


@pytest.mark.parametrize("name", ["flir_v1", "flir_v2", "paired"])
def test_layouts_without_registration_or_labels_are_not_offered(name: str) -> None:
    assert name not in LAYOUTS


def test_published_roadscene_has_nothing_to_judge_by(tmp_path: Path, model: Path) -> None:
    layout_maker.roadscene(tmp_path)
    with pytest.raises(ValueError, match="none of the 4 pairs has a known label"):
        judge(tmp_path, "roadscene", model, 1)
    for path in tmp_path.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DatasetError, match="no usable image pair found for a RoadScene dataset"):
        LAYOUTS["roadscene"](tmp_path).require()
