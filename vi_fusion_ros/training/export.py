"""From a checkpoint to what the node loads: an ONNX file, its manifest and its model card."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vi_fusion_ros.model.cost import Cost, measure_cost
from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet
from vi_fusion_ros.training.card import model_card
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import crops_of, frames_of
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.training.onnx_export import INPUTS, OUTPUTS, Pair, export_onnx
from vi_fusion_ros.training.packed import PackedPairs
from vi_fusion_ros.training.predict import padded_tensors
from vi_fusion_ros.training.report import measure


def export(checkpoint: Path, path: Path) -> dict[str, Any]:
    """Export a checkpoint, checked and measured.

    Writes ``path`` (ONNX), the manifest beside it (``.json``) and the model card (``.md``); each is replaced only once
    the new one is whole.

    Args:
        checkpoint: of ``vi-fusion train``.
        path: of the ONNX file.

    Returns:
        The manifest.

    Raises:
        ValueError: not a checkpoint, data missing, or ONNX Runtime disagrees with torch.
    """
    config, weights = checkpoint_weights(checkpoint)
    network = FusionNet(config.network)
    network.load_state_dict(weights)
    network.eval()
    difference = export_onnx(network, path, _real_pairs(config))
    cost = measure_cost(network)
    manifest = _manifest(config, path, measure(network, config), cost, difference)
    _write(path.with_suffix(".json"), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    _write(path.with_suffix(".md"), model_card(manifest))
    return manifest


def _manifest(
    config: TrainConfig, path: Path, measured: dict[str, Any], cost: Cost, difference: float
) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    temperature = measured.pop("temperature")
    data = plain(config.data)
    return {
        "model_id": f"vi-fusion-{config.name}-{digest[:8]}",
        "onnx_sha256": digest,
        "labels": list(LABELS),
        "thresholds": dict.fromkeys(LABELS, 0.5),
        "illumination": list(ILLUMINATION),
        "input": {
            "visible": {"name": INPUTS[0], "shape": [1, 3, "H", "W"], "range": [0, 1], "order": "RGB"},
            "thermal": {"name": INPUTS[1], "shape": [1, 1, "H", "W"], "range": [0, 1]},
            "multiple": SIZE_MULTIPLE,
        },
        "outputs": list(OUTPUTS),
        "precision": "fp32",
        "backend": "onnxruntime",
        "backend_version": onnxruntime.__version__,
        "gpu": None,
        "compute_capability": None,
        # A mode that the run never saw (a single-camera baseline) gets the temperature of the one it saw.
        "temperature": {
            mode: round(temperature.get(mode, next(iter(temperature.values()))), 4)
            for mode in ("both", "visible_only", "thermal_only")
        },
        "training": {
            "date": datetime.date.today().isoformat(),
            "data": [part.name for part in (crops_of(config.data, "test"), frames_of(config.data, "test")) if part],
            "licence": config.data.licence,
            "splits": {
                key: value for key, value in data.items() if key.rpartition("_")[2] in ("train", "select", "test")
            },
            "config": {key: value for key, value in plain(config).items() if key not in ("data", "runs", "start_from")},
        },
        "metrics": {
            **measured,
            "parameters": cost.parameters,
            "gmac_640x480": round(cost.gmac, 3),
            "onnx_vs_torch": difference,
        },
    }


def _real_pairs(config: TrainConfig) -> list[Pair]:
    part = frames_of(config.data, "test")
    if part is None:
        return []
    frames = PackedPairs(part, config.data.cache)
    pairs = [padded_tensors(frames[index]) for index in range(0, len(frames), max(len(frames) // 4, 1))]
    return [(np.ascontiguousarray(v.numpy()), np.ascontiguousarray(t.numpy())) for v, t in pairs]


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
