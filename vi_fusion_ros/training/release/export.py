"""From a checkpoint to what the node loads: an ONNX file, its manifest and its model card."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from vi_fusion_ros.engines.calibration import Calibration
from vi_fusion_ros.model.cost import Cost, measure_cost
from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet
from vi_fusion_ros.objects import decode
from vi_fusion_ros.training.batches.packed import pooled_presence
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import frames_of, of_both_cameras
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.training.predict import (
    mirrored_and_scaled,
    padded_size,
    padded_tensors,
    predict_objects,
    predict_sets,
)
from vi_fusion_ros.training.release.calibration import calibrate, calibrate_objects, corrected
from vi_fusion_ros.training.release.card import write_manifest
from vi_fusion_ros.training.release.novelty import novelty_of
from vi_fusion_ros.training.release.onnx_export import INPUTS, OUTPUTS, Pair, export_onnx
from vi_fusion_ros.training.release.released import released_network
from vi_fusion_ros.training.report import MODES, measure

_LEAST = 0.02  # probability from which found objects are taken into the calibration
NO_GPU = "No GPU has run this model; vi-fusion compile verifies each engine that it builds (docs/gpu.md)."


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
    config, network = released_network(checkpoint)
    difference = export_onnx(network, path, _real_pairs(config))
    cost = measure_cost(network)
    calibration, objects = calibration_of(network, config), object_calibration(network, config)
    calibration["novelty"] = novelty_of(config.data) if config.modality == "both" else {}
    manifest = _manifest(config, path, calibration, objects, measure(network, config), cost, difference)
    write_manifest(path, manifest)
    return manifest


def _manifest(
    config: TrainConfig,
    path: Path,
    calibration: dict[str, Any],
    objects: dict[str, Any],
    measured: dict[str, Any],
    cost: Cost,
    difference: float,
) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    data = plain(config.data)
    return {
        "model_id": f"vi-fusion-{config.name}-{digest[:8]}",
        "onnx_sha256": digest,
        "labels": list(LABELS),
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
        "tensorrt": NO_GPU,
        **calibration,
        "objects": objects,
        "training": {
            "date": datetime.date.today().isoformat(),
            "data": list(data["sets"]) + (["FLIR crops"] if config.data.crops else []),
            "licence": config.data.licence,
            "splits": {
                name: {part: entry[part] for part in ("train", "select", "test")}
                for name, entry in [*data["sets"].items(), *([("crops", data["crops"])] if data["crops"] else [])]
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


def calibration_of(network: FusionNet, config: TrainConfig) -> dict[str, Any]:
    """``temperature``, ``bias`` and ``thresholds`` for the manifest.

    From the selection parts of the sets of both cameras; where there are none, the scores stay as they are. Then
    corrected by the file that ``config.calibration`` names (networks judged on sets they never saw).

    Raises:
        ValueError: the file cannot be read, or holds no calibration.
    """
    own = _own_calibration(network, config)
    if config.calibration is None:
        return own
    try:
        return corrected(own, json.loads(config.calibration.read_text(encoding="utf-8"))["calibration"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{config.calibration}: holds no calibration ({error}); expected leave_one_out's JSON"
        ) from error


def _own_calibration(network: FusionNet, config: TrainConfig) -> dict[str, Any]:
    sets = list(of_both_cameras(frames_of(config.data, "select")).values())
    if not sets:
        values = {"temperature": 1.0, "bias": 0.0, "thresholds": 0.5}
        return {key: {mode: dict.fromkeys(LABELS, value) for mode in MODES} for key, value in values.items()}
    views = mirrored_and_scaled()
    scores = {mode: predict_sets(network, sets, modality, views)[0] for mode, modality in MODES.items()}
    present, known = (np.repeat(rows, len(views), 0) for rows in pooled_presence(sets))
    return calibrate(scores, present, known)


def object_calibration(network: FusionNet, config: TrainConfig) -> dict[str, Any]:
    """``objects`` of the manifest, from the selection frames whose objects all have boxes; empty without any."""
    neutral = Calibration(*(np.full(len(LABELS), value) for value in (1.0, 0.0, _LEAST)))
    found, truth = [], []
    for frames in frames_of(config.data, "select").values():
        for index, sample in enumerate(frames.samples):
            if sample.camera == "both" and sample.boxes and sample.complete and not sample.ignored:
                size = (frames[index].shape[1], frames[index].shape[0])
                objects = decode(predict_objects(network, frames[index]), LABELS, neutral, size, padded_size(size))
                logit = [_logit(o.probability) for o in objects]
                rows = [(LABELS.index(o.label), s, *o.box) for o, s in zip(objects, logit, strict=True)]
                found.append(np.array(rows, np.float64).reshape(-1, 6))
                truth.append(sample.boxes)
    return calibrate_objects(found, truth) if truth else {}


def _logit(probability: float) -> float:
    """Finite for the probabilities 0 and 1 that rounding makes, too."""
    sure = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(sure / (1 - sure))


def _real_pairs(config: TrainConfig) -> list[Pair]:
    """One frame of each set's test part."""
    pairs = [padded_tensors(frames[len(frames) // 2]) for frames in frames_of(config.data, "test").values()]
    return [(np.ascontiguousarray(v.numpy()), np.ascontiguousarray(t.numpy())) for v, t in pairs]
