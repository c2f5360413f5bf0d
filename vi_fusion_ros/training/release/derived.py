"""The manifest of a model that was made from another one without new labels."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import onnxruntime

from vi_fusion_ros.model.cost import measure_cost
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.release.card import write_manifest
from vi_fusion_ros.training.release.export import NO_GPU


def write_derived(
    network: FusionNet,
    path: Path,
    base: dict[str, Any],
    how: str,
    difference: float,
    training: dict[str, Any],
    metrics: dict[str, Any],
    novelty: dict[str, Any],
) -> dict[str, Any]:
    """Write manifest (``.json``) and model card (``.md``) beside an ONNX file, each whole or not at all.

    Labels, calibration and thresholds are those of the other model. Its metrics were not measured anew: they are left
    out.

    Args:
        network: the one in the file.
        path: of the ONNX file.
        base: manifest of the other model.
        how: one word for the id, for example ``adapted``.
        difference: largest one between ONNX Runtime and torch.
        training: what is to be changed in that part of the manifest.
        metrics: what was measured.
        novelty: calibration of what is unlike the training data.

    Returns:
        The manifest.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cost = measure_cost(network)
    origin = {"model_id": base["model_id"], "onnx_sha256": base["onnx_sha256"]}
    manifest = {
        **base,
        "model_id": f"{base['model_id']}-{how}-{digest[:8]}",
        "onnx_sha256": digest,
        "backend_version": onnxruntime.__version__,
        "gpu": None,
        "compute_capability": None,
        "tensorrt": NO_GPU,
        "novelty": novelty,
        "training": {
            **base.get("training", {}),
            "date": datetime.date.today().isoformat(),
            **training,
            f"{how}_from": origin,
        },
        "metrics": {
            **metrics,
            "parameters": cost.parameters,
            "gmac_640x480": round(cost.gmac, 3),
            "onnx_vs_torch": difference,
        },
    }
    write_manifest(path, manifest)
    return manifest
