"""From a checkpoint to files that the run time accepts."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("onnx", reason="the training requirements are not installed")
onnxruntime = pytest.importorskip("onnxruntime")

from vi_fusion_ros.engines.load import load_engine  # noqa: E402
from vi_fusion_ros.engines.manifest import Manifest  # noqa: E402
from vi_fusion_ros.training.datasets.labels import LABELS  # noqa: E402
from vi_fusion_ros.training.release import onnx_export  # noqa: E402
from vi_fusion_ros.training.release.calibration import of_mode  # noqa: E402
from vi_fusion_ros.training.release.export import calibration_of, export  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402


def test_onnx_runtime_agrees_with_torch_at_any_size(network, tmp_path):
    path = tmp_path / "model.onnx"
    assert onnx_export.export_onnx(network, path) <= onnx_export.TOLERANCE
    session = onnxruntime.InferenceSession(str(path))
    for height, width, rows, columns in ((32, 32, 4, 4), (96, 224, 24, 52), (960, 1280, 60, 80)):
        inputs = {"visible": np.zeros((1, 3, height, width), np.float32)}
        inputs["thermal"] = np.ones((1, 1, height, width), np.float32)
        fused, attention, logits, illumination, objects = session.run(None, inputs)
        assert fused.shape == attention.shape == (1, 1, height, width)
        assert (logits.shape, illumination.shape) == ((1, 3), (1, 2))
        assert objects.shape == (1, 15, rows, columns)
        assert (objects[:, 3:] > 0).all()
    assert path.stat().st_size <= 8e6


def test_a_file_that_disagrees_is_not_kept(network, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old model")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(onnx_export.ParityError, match="differs from torch"):
        onnx_export.export_onnx(network, path)
    assert path.read_bytes() == b"the old model"
    assert list(tmp_path.iterdir()) == [path]


def test_export_writes_model_manifest_and_card(config, tmp_path):
    out = tmp_path / "models" / "made.onnx"
    optim = dataclasses.replace(config.optim, epochs=1, steps=1)
    data = dataclasses.replace(config.data, licence="Made up; free.")
    export(train(dataclasses.replace(config, optim=optim, data=data)).last, out)
    manifest = Manifest.load(out.with_suffix(".json"))
    manifest.check_onnx(out)
    assert manifest.labels == ("person", "car", "bicycle")
    assert manifest.multiple == 32
    card = out.with_suffix(".md").read_text()
    for heading in ("Data and splits", "Classification of crops", "Presence in whole frames", "Fusion", "Limits"):
        assert f"## {heading}" in card
    assert "Made up; free." in card
    assert "| street | 1–9 | 9–17 | 17–25 |" in card
    written = json.loads(out.with_suffix(".json").read_text())
    assert written["metrics"]["onnx_vs_torch"] <= onnx_export.TOLERANCE
    assert written["training"]["data"] == ["street", "FLIR crops"]
    assert set(written["temperature"]["visible_only"]) == set(manifest.labels)
    assert set(written["metrics"]["presence"]) == {"both", "visible_only", "thermal_only"}
    answer = load_engine(out).infer(np.ones((1, 3, 64, 96), np.float32), np.ones((1, 1, 64, 96), np.float32))
    assert answer.objects.shape == (1, 15, 8, 12)


def test_the_calibration_of_unseen_sets_corrects_that_of_the_selection_parts(config, network, tmp_path):
    modes = ("both", "visible_only", "thermal_only")
    values = {"temperature": 2.0, "bias": 0.5, "thresholds": 0.25}
    given = {key: {mode: dict.fromkeys(LABELS, value) for mode in modes} for key, value in values.items()}
    file = tmp_path / "leave_one_out.json"
    file.write_text(json.dumps({"calibration": given}))
    own = calibration_of(network, dataclasses.replace(config, calibration=None))
    made = calibration_of(network, dataclasses.replace(config, calibration=file))
    assert made["thresholds"] == given["thresholds"]
    scores = np.linspace(-3, 3, 15).reshape(5, 3)
    for mode in modes:
        np.testing.assert_allclose(
            of_mode(made, mode).log_odds(scores), (of_mode(own, mode).log_odds(scores) - 0.5) / 2, rtol=2e-3, atol=2e-3
        )
    for content in ("{", "[]", '{"figures": {}}'):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"leave_one_out\.json: holds no calibration .*; expected leave_one_out's"):
            calibration_of(network, dataclasses.replace(config, calibration=file))
    with pytest.raises(ValueError, match=r"none\.json: holds no calibration"):
        calibration_of(network, dataclasses.replace(config, calibration=tmp_path / "none.json"))
