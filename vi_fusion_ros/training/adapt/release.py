"""An adapted network as the node loads it: ONNX file, manifest and model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.adapt.recordings import Recording
from vi_fusion_ros.training.predict import padded_tensors
from vi_fusion_ros.training.release.derived import write_derived
from vi_fusion_ros.training.release.novelty import with_set
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
    training = base.get("training", {})
    names = [recording.name for recording in recordings]
    splits = {
        recording.name: {"train": [list(recording.ranges[0])], "select": [], "test": [list(recording.ranges[1])]}
        for recording in recordings
    }
    novelty = base.get("novelty", {})
    for recording in recordings if novelty else ():
        novelty = with_set(novelty, recording.name, recording.trained)
    fusion = {metric: row["after"] for metric, row in verdict["fusion"].items()}
    return write_derived(
        network,
        path,
        base,
        "adapted",
        difference,
        {
            "data": [*training.get("data", []), *names],
            "licence": f"{training.get('licence', '')} {_TERMS}".strip(),
            "splits": {**training.get("splits", {}), **splits},
        },
        {"fusion": {"set aside": fusion}, "adaptation": {key: verdict[key] for key in ("fusion", "words")}},
        novelty,
    )
