"""Measure a trained network on the parts it never saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.fusion import fusion_metrics, to_gray
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training import classification as figures
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import crops_of, frames_of, of_both_cameras
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.training.predict import predict_crops, predict_fused, predict_presence

MODES = {"both": "both", "visible_only": "visible", "thermal_only": "thermal"}
"""The manifest's word for each mode, and the training configuration's."""

FUSION = ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM")


def measure(network: FusionNet, config: TrainConfig) -> dict[str, Any]:
    """Every figure of the model card, on the test parts of ``config.data``.

    Returns:
        ``classification`` of crops per mode with ``all``, ``day``, ``night``, where the configuration has crops;
        ``presence`` per mode and set; ``fusion`` per set (means over frames).
    """
    result: dict[str, Any] = {}
    trained = [mode for mode, modality in MODES.items() if config.modality in ("both", modality)]
    crops = crops_of(config.data, "test")
    if crops is not None:
        logits = {mode: predict_crops(network, crops, MODES[mode])[0] for mode in trained}
        result["classification"] = {mode: crop_figures(values, crops) for mode, values in logits.items()}
    sets = frames_of(config.data, "test")
    pairs = of_both_cameras(sets)
    result["presence"] = {
        mode: {
            name: frame_presence(network, frames, MODES[mode])
            for name, frames in sets.items()
            if frames.camera in ("both", MODES[mode])
        }
        for mode in trained
    }
    if config.modality == "both":
        result["fusion"] = {name: frame_fusion(network, frames) for name, frames in pairs.items()}
    return result


def crop_figures(logits: npt.NDArray[np.float32], crops: PackedPairs) -> dict[str, Any]:
    """``exclusive_report`` of all crops and of each illumination.

    Temperatures are fitted and the ECE judged on different contiguous blocks of frames.
    """
    present, light = crops.presence()[0], crops.illumination()
    order = np.array([sample.order for sample in crops.samples])
    temperature = figures.fit_temperature(logits, present)
    chosen = {"all": np.full(len(light), True)}
    chosen.update({name: light == k for k, name in enumerate(ILLUMINATION) if np.any(light == k)})
    rows = {
        name: figures.exclusive_report(logits[mask], present[mask], LABELS, temperature)
        for name, mask in chosen.items()
    }
    rows["all"]["ece"] = figures.cross_fitted_error(logits, present, order)
    return rows


def frame_presence(network: FusionNet, frames: PackedPairs, modality: str) -> dict[str, Any]:
    """Presence and illumination in whole frames, where they are known."""
    logits, scores = predict_presence(network, frames, modality)
    rows = figures.presence_report(logits, *frames.presence(), LABELS)
    light = frames.illumination()
    right = scores.argmax(1) == light
    rows["illumination_accuracy"] = float(right[light >= 0].mean()) if (light >= 0).any() else None
    return rows


def frame_fusion(network: FusionNet, frames: PackedPairs) -> dict[str, float]:
    """Mean fusion metrics over whole frames; 8-bit output as the node writes it."""
    network.eval()
    rows = []
    for index in range(len(frames)):
        pixels = frames[index]
        fused = predict_fused(network, pixels)[0][0, 0].cpu().numpy()
        visible = to_gray(np.ascontiguousarray(pixels[..., 2::-1]))
        values = fusion_metrics(to_8bit(fused), visible, np.ascontiguousarray(pixels[..., 3]), FUSION)
        rows.append(values)
    return {name: float(np.mean([row[name] for row in rows])) for name in FUSION}


def to_8bit(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Luma in 0 to 1, to the nearest of 256 grey levels."""
    return np.rint(image * 255).astype(np.uint8)
