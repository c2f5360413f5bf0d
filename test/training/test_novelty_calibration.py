"""What a calibration of novelty makes of the frames that were set aside."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("onnx", reason="the training requirements are not installed")

from vi_fusion_ros.engines.manifest import Manifest, sha256
from vi_fusion_ros.novelty import STATISTICS, Novelty
from vi_fusion_ros.training.release.novelty import FALSE_ALARMS, fit, novelty_of, recalibrate


def rows(rng, count, offset=0.0, agreement=0.1):
    return rng.normal(offset, 1, (count, STATISTICS)), rng.normal(agreement, 0.02, count)


def test_few_frames_like_those_set_aside_are_flagged_and_others_are():
    rng = np.random.default_rng(0)
    made = fit({"a": rows(rng, 200), "b": rows(rng, 50, 20)}, {"a": rows(rng, 300), "b": rows(rng, 100, 20)})
    novelty = Novelty(made)

    def flagged(appearance, agreement):
        return np.mean([novelty.of_statistics(*row) > 1 for row in zip(appearance, agreement, strict=True)])

    assert flagged(*rows(rng, 2000)) == pytest.approx(FALSE_ALARMS, abs=0.025)
    assert flagged(*rows(rng, 2000, 20)) == pytest.approx(FALSE_ALARMS, abs=0.04)
    assert flagged(*rows(rng, 50, 10)) == 1  # between both sets
    assert flagged(*rows(rng, 50, agreement=-0.1)) == 1


def test_too_few_frames_make_no_calibration():
    rng = np.random.default_rng(0)
    assert fit({"a": rows(rng, 7)}, {"a": rows(rng, 50)}) == fit({"a": rows(rng, 50)}, {}) == {}


def test_it_can_be_made_anew_for_a_model_that_is_there(config, network, tmp_path):
    from vi_fusion_ros.training.release.onnx_export import export_onnx

    model = tmp_path / "model.onnx"
    export_onnx(network, model)
    made = novelty_of(config.data)
    assert made["frames"] == {"train": 8, "select": 8, "test": 8}
    assert made["flagged"]["select"] <= FALSE_ALARMS
    shipped = _manifest(model)
    model.with_suffix(".json").write_text(json.dumps(shipped))
    assert recalibrate(config.data, model) == made
    written = json.loads(model.with_suffix(".json").read_text())
    assert {**shipped, "novelty": made} == written
    assert Manifest.load(model.with_suffix(".json")).novelty == made
    assert "Pairs unlike the training data" in model.with_suffix(".md").read_text()
    few = dataclasses.replace(config.data, sets={"street": dataclasses.replace(config.data.sets["street"], select=())})
    with pytest.raises(ValueError, match="too few frames"):
        recalibrate(few, model)
    assert json.loads(model.with_suffix(".json").read_text()) == written


def _manifest(model):
    modes = dict.fromkeys(("both", "visible_only", "thermal_only"), 1.0)
    return {
        "model_id": "made",
        "onnx_sha256": sha256(model),
        "labels": ["person", "car", "bicycle"],
        "thresholds": dict.fromkeys(("person", "car", "bicycle"), 0.5),
        "illumination": ["day", "night"],
        "input": {"multiple": 32},
        "temperature": modes,
        "training": {"date": "today", "splits": {}, "licence": "Made up."},
        "metrics": {"parameters": 1, "gmac_640x480": 1, "onnx_vs_torch": 1e-6},
    }
