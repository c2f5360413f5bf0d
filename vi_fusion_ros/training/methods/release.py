"""From a checkpoint, or a file of a method's authors, to the ONNX file that the method runs."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

from vi_fusion_ros.evaluation.output import write_text
from vi_fusion_ros.methods.registry import DETECTORS, listed
from vi_fusion_ros.training.checkpoints import checkpoint_weights, finished_epochs
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.methods.authors import from_authors
from vi_fusion_ros.training.methods.onnx_files import round_to_half, write_onnx
from vi_fusion_ros.training.methods.recipes import network_of
from vi_fusion_ros.training.release.card import splits_table


def export_authors(name: str, given: Path, path: Path) -> float:
    """Write the ONNX file of a method with weights that were published.

    Args:
        name: of the method.
        given: the file as it was published.
        path: where to.

    Returns:
        Largest difference between ONNX Runtime and torch, as a share of the largest value.

    Raises:
        ValueError: the file cannot be used, or the method has no published weights that are known here.
    """
    network, methods, faithful = from_authors(name, given)
    return write_onnx(network, path, methods, faithful)


def export_method(checkpoint: Path, path: Path) -> dict[str, Any]:
    """Write the ONNX file, the manifest and the card of a run whose configuration names a method.

    Args:
        checkpoint: of the run.
        path: of the ONNX file; ``.json`` and ``.md`` go beside it.

    Returns:
        The manifest.

    Raises:
        ValueError: not a checkpoint of a method, or ONNX Runtime disagrees with torch.
    """
    config, weights = checkpoint_weights(checkpoint)
    network, faithful = network_of(config.method or "")
    network.load_state_dict(weights)
    round_to_half(network)
    difference = write_onnx(network, path, config.method or "", faithful)
    parameters = sum(p.numel() for p in network.parameters())
    measured = {"parameters": parameters, "onnx_vs_torch": difference}
    manifest = _manifest(config, faithful, path, finished_epochs(checkpoint), measured)
    write_text(path.with_suffix(".json"), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    write_text(path.with_suffix(".md"), _card(manifest))
    return manifest


def _manifest(config: TrainConfig, faithful: str, path: Path, epochs: int, measured: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = plain(config)
    batches = "scenes" if config.method in DETECTORS else "patches"
    return {
        "model_id": f"method-{config.method}-{digest[:8]}",
        "onnx_sha256": digest,
        "method": config.method,
        "faithful": faithful,
        "reference": listed(config.method or "").reference,
        "training": {
            "date": datetime.date.today().isoformat(),
            "epochs": epochs,
            "licence": config.data.licence,
            "splits": {
                name: {part: entry[part] for part in ("train", "select", "test")}
                for name, entry in settings["data"]["sets"].items()
            },
            "config": {key: settings[key] for key in ("seed", batches, "augmentation", "optim")},
        },
        "metrics": measured,
    }


def _card(manifest: dict[str, Any]) -> str:
    """Markdown text of the card."""
    metrics, training = manifest["metrics"], manifest["training"]
    optim = training["config"]["optim"]
    kind, made = ("detector", "boxes") if manifest["method"] in DETECTORS else ("fusion method", "images")
    parts = [
        f"# Weights of the {kind} {manifest['method']}: {manifest['model_id']}",
        f"{manifest['reference']}: {manifest['faithful']}. Made on {training['date']} by `vi-fusion export`; every "
        f"figure here comes from the manifest beside it. {metrics['parameters']:,} parameters, ONNX Runtime within "
        f"{metrics['onnx_vs_torch']:.1g} of torch, as a share of the largest value. Trained for "
        f"{training['epochs']} of {optim['epochs']} epochs of {optim['steps']} steps.",
        f"These are not its authors' weights, and its {made} are not the published ones. docs/methods.md has its "
        "figures and how it was trained.",
        "## Data and splits\n\n" + splits_table(training["splits"]),
        f"## Licence\n\n{training['licence']}",
    ]
    return "\n\n".join(parts) + "\n"
