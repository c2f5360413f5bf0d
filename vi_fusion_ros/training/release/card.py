"""The model card, made from the manifest so that no figure in it is typed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from vi_fusion_ros.evaluation.output import write_text

_LIMITS = """\
## Limits

- Three labels only: person, car (any car, van, truck or bus) and bicycle. Motor scooters are none of them.
- Bicycles are the weakest label: the training data has few of them whole, and many are small or ridden.
- Presence and boxes come from a smaller picture than the input (`network.view` in the manifest): small objects are
  often missed.
- One camera alone is worse than both, the visible one at night most of all.
- The probabilities of presence are calibrated on the frames that it was chosen by (the table above), and corrected by
  the file that `calibration` in the manifest names, if any: by networks of this recipe that were judged on places that
  they had not seen. Yours may differ. Boxes are calibrated on streets by one make of camera.
- The thermal images of MSRS were enhanced by their authors; raw counts look different.
- The fused image has no colour of its own; the node puts the visible chroma back.
- docs/model.md has the figures on sets that were never seen, and where it fails.
"""


def write_manifest(model: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest (``.json``) and the model card (``.md``) beside an ONNX file, each whole or not at all."""
    write_text(model.with_suffix(".json"), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    write_text(model.with_suffix(".md"), model_card(manifest))


def model_card(manifest: dict[str, Any]) -> str:
    """Markdown text of the card."""
    metrics, training = manifest["metrics"], manifest["training"]
    parts = [
        f"# Model card: {manifest['model_id']}",
        f"Fuses a registered visible and thermal pair and says which of {', '.join(manifest['labels'])} are present, "
        f"and whether it is {' or '.join(manifest['illumination'])}. Made on {training['date']} by `vi-fusion export`; "
        "every figure here comes from the manifest beside it.",
        f"{metrics['parameters']:,} parameters, {metrics['gmac_640x480']} GMAC at 640×480, "
        f"ONNX Runtime within {metrics['onnx_vs_torch']:.1g} of torch.",
        "## Data and splits\n\n" + _splits(training),
    ]
    if "presence" in metrics:
        parts.append("## Presence in whole frames\n\n" + _presence(metrics["presence"]))
    if "classification" in metrics:
        parts.append("## Classification of crops\n\n" + _classification(metrics["classification"]))
    if "fusion" in metrics:
        parts.append("## Fusion\n\n" + _fusion(metrics["fusion"]))
    if manifest.get("novelty", {}).get("flagged"):
        parts.append("## Pairs unlike the training data\n\n" + _novelty(manifest["novelty"]))
    parts += [_LIMITS.rstrip(), f"## Licence\n\n{training['licence']}"]
    return "\n\n".join(parts) + "\n"


def _splits(training: dict[str, Any]) -> str:
    return (
        splits_table(training["splits"]) + "\n\nThe test parts were not trained on; all figures below are on them. "
        "docs/model.md says what the recipe was chosen by."
    )


def splits_table(splits: dict[str, Any]) -> str:
    """Which part of each set was for what, as Markdown."""
    rows = [
        "Ranges of frame ids, or of ranks where a set has none; the upper end is excluded. They are contiguous blocks: "
        "neighbouring frames are nearly the same.\n",
        "| set | trained on | chosen by | tested on |",
        "|---|---|---|---|",
    ]
    for name, parts in splits.items():
        cells = (", ".join(f"{low}–{high}" for low, high in parts[part]) or "–" for part in ("train", "select", "test"))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _classification(modes: dict[str, Any]) -> str:
    head = "| input | part | crops | macro F1 | accuracy | ROC-AUC | ECE | per label: precision / recall |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for mode, parts in modes.items():
        for name, row in parts.items():
            labels = ", ".join(
                f"{label} {item['precision']:.3f} / {item['recall']:.3f}" for label, item in row["labels"].items()
            )
            rows.append(
                f"| {mode} | {name} | {row['count']} | {row['macro_f1']:.3f} | {row['accuracy']:.3f} "
                f"| {row['roc_auc']:.3f} | {row['ece']:.3f} | {labels} |"
            )
    return "\n".join(rows)


def _presence(modes: dict[str, Any]) -> str:
    labels = list(next(iter(next(iter(modes.values())).values()))["labels"])
    rows = ["| input | set | frames | " + " | ".join(f"{x}: with, AUC" for x in labels) + " | day or night right |"]
    rows.append("|---" * (4 + len(labels)) + "|")
    for mode, sets in modes.items():
        for name, row in sets.items():
            cells = " | ".join(
                f"{item['positives']} of {item['count']}, {_number(item['auc'])}" for item in row["labels"].values()
            )
            count = max(item["count"] for item in row["labels"].values())
            rows.append(f"| {mode} | {name} | {count} | {cells} | {_number(row['illumination_accuracy'])} |")
    return "\n".join(rows)


def _fusion(sets: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(sets.values())))
    rows = ["Means over the test frames, 8-bit luma, in the convention of `vi-fusion evaluate fusion`:", ""]
    rows += [f"| set | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    rows += [f"| {name} | {' | '.join(f'{value:.3f}' for value in values.values())} |" for name, values in sets.items()]
    return "\n".join(rows)


def _novelty(novelty: dict[str, Any]) -> str:
    flagged, frames = novelty["flagged"], novelty["frames"]
    parts = [f"{flagged[part]:.1%} of {frames[part]} {part} frames" for part in ("select", "test") if part in flagged]
    unseen = ", ".join(f"{name} {share:.0%}" for name, share in flagged["sets_left_out"].items())
    return (
        "`~/explanation` flags them (docs/explain.md). Calibrated on the selection frames. Flagged, where nothing is "
        "wrong: "
        + " and ".join(parts)
        + ". "
        + (f"With one set left out of the calibration, of its frames: {unseen}. " if unseen else "")
    ).rstrip()


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
