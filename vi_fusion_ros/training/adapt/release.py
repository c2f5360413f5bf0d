"""An adapted network as the node loads it: ONNX file, manifest and model card."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from vi_fusion_ros.evaluation.output import write_text
from vi_fusion_ros.model.cost import measure_cost
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.adapt.recordings import Recording
from vi_fusion_ros.training.predict import padded_tensors
from vi_fusion_ros.training.release.card import model_card
from vi_fusion_ros.training.release.export import NO_GPU
from vi_fusion_ros.training.release.onnx_export import export_onnx

_TERMS = "Adapted without labels to recordings of whoever ran vi-fusion adapt; their terms are not known here."


def release(
    network: FusionNet, path: Path, base: dict[str, Any], recordings: Sequence[Recording], verdict: dict[str, Any]
) -> dict[str, Any]:
    """Write ``path`` (ONNX), the manifest beside it (``.json``) and the model card (``.md``), each whole or not at all.

    Labels, calibration and thresholds are those of the model that was started from, for its words were kept. Its
    metrics were not measured anew and are left out.

    Args:
        network: the adapted one, in eval mode.
        path: of the ONNX file.
        base: manifest of the model that was started from.
        recordings: what it was adapted to.
        verdict: of ``verdict.judge``.

    Returns:
        The manifest.

    Raises:
        ValueError: ONNX Runtime disagrees with torch.
    """
    pairs = [tuple(part.numpy() for part in padded_tensors(recording.aside[0])) for recording in recordings]
    difference = export_onnx(network, path, [(visible, thermal) for visible, thermal in pairs])
    cost = measure_cost(network)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    training = base.get("training", {})
    names = [recording.name for recording in recordings]
    splits = {
        recording.name: {"train": [list(recording.ranges[0])], "select": [], "test": [list(recording.ranges[1])]}
        for recording in recordings
    }
    fusion = {metric: row["after"] for metric, row in verdict["fusion"].items()}
    manifest = {
        **base,
        "model_id": f"{base['model_id']}-adapted-{digest[:8]}",
        "onnx_sha256": digest,
        "backend_version": onnxruntime.__version__,
        "gpu": None,
        "compute_capability": None,
        "tensorrt": NO_GPU,
        "training": {
            **training,
            "date": datetime.date.today().isoformat(),
            "data": [*training.get("data", []), *names],
            "licence": f"{training.get('licence', '')} {_TERMS}".strip(),
            "splits": {**training.get("splits", {}), **splits},
            "adapted_from": {"model_id": base["model_id"], "onnx_sha256": base["onnx_sha256"]},
        },
        "metrics": {
            "fusion": {"set aside": fusion},
            "adaptation": {key: verdict[key] for key in ("fusion", "words")},
            "parameters": cost.parameters,
            "gmac_640x480": round(cost.gmac, 3),
            "onnx_vs_torch": difference,
        },
    }
    write_text(path.with_suffix(".json"), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    write_text(path.with_suffix(".md"), model_card(manifest))
    return manifest
