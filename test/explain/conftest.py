"""A model of this package's network that is made here, so that nothing depends on how the committed one was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def network_model(tmp_path_factory) -> Path:
    """An exported network with weights drawn at random, calibrated by label and mode."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    from vi_fusion_ros.engines.manifest import sha256
    from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet, NetworkConfig
    from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
    from vi_fusion_ros.training.release.onnx_export import OUTPUTS, export_onnx

    torch.manual_seed(0)
    network = FusionNet(NetworkConfig(branch=8, blocks=1, fused=8))
    with torch.no_grad():
        # As if trained: the exporter keeps one copy of tensors that are alike, which could not be put back.
        for name, weight in network.named_parameters():
            weight.add_(0.05 * torch.randn_like(weight) * (0.1 if "sides" in name else 1))
    path = tmp_path_factory.mktemp("network") / "made.onnx"
    export_onnx(network, path)
    modes = ("both", "visible_only", "thermal_only")
    manifest = {
        "model_id": "made",
        "onnx_sha256": sha256(path),
        "labels": list(LABELS),
        "illumination": list(ILLUMINATION),
        "input": {"multiple": SIZE_MULTIPLE},
        "outputs": list(OUTPUTS),
        "temperature": {mode: {"person": 2.0, "car": 0.5, "bicycle": 1.0} for mode in modes},
        "bias": {mode: {"person": -2.0, "car": -1.0} for mode in modes},
        "thresholds": {mode: dict.fromkeys(LABELS, 0.5) for mode in modes},
        "training": {"config": {"network": network.config.as_dict()}},
    }
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path
