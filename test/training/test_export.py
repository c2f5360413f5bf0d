"""From a checkpoint to files that the run time accepts."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("onnx", reason="the training requirements are not installed")
onnxruntime = pytest.importorskip("onnxruntime")

from vi_fusion_ros.engines.manifest import Manifest  # noqa: E402
from vi_fusion_ros.model.network import FusionNet, NetworkConfig  # noqa: E402
from vi_fusion_ros.training import onnx_export  # noqa: E402
from vi_fusion_ros.training.export import export  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402

SMALL = NetworkConfig(branch=8, blocks=1, fused=8, middle=8, deep=8)


@pytest.mark.parametrize("head", ["dense", "pooled"])
def test_onnx_runtime_agrees_with_torch_at_any_size(head, tmp_path):
    network = FusionNet(NetworkConfig(**{**SMALL.as_dict(), "head": head})).eval()
    path = tmp_path / "model.onnx"
    assert onnx_export.export_onnx(network, path) <= 1e-4
    session = onnxruntime.InferenceSession(str(path))
    for height, width in ((16, 16), (112, 208)):
        inputs = {"visible": np.zeros((1, 3, height, width), np.float32)}
        inputs["thermal"] = np.ones((1, 1, height, width), np.float32)
        fused, attention, logits, illumination = session.run(None, inputs)
        assert fused.shape == attention.shape == (1, 1, height, width)
        assert (logits.shape, illumination.shape) == ((1, 3), (1, 2))


def test_a_file_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old model")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(onnx_export.ParityError, match="differs from torch"):
        onnx_export.export_onnx(FusionNet(SMALL), path)
    assert path.read_bytes() == b"the old model"
    assert list(tmp_path.iterdir()) == [path]


def test_export_writes_model_manifest_and_card(config, tmp_path):
    out = tmp_path / "models" / "made.onnx"
    export(train(config).last, out)
    manifest = Manifest.load(out.with_suffix(".json"))
    manifest.check_onnx(out)
    assert manifest.labels == ("person", "car", "bicycle")
    assert manifest.multiple == 16
    card = out.with_suffix(".md").read_text()
    for heading in ("Data and splits", "Classification of crops", "Presence in whole frames", "Fusion", "Limits"):
        assert f"## {heading}" in card
    written = json.loads(out.with_suffix(".json").read_text())
    assert written["metrics"]["onnx_vs_torch"] <= 1e-4
