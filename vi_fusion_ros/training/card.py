"""The model card, made from the manifest so that no figure in it is typed by hand."""

from __future__ import annotations

from typing import Any

_LIMITS = """\
## Limits

- Three labels only, learned from one make of camera pair on roads; other scenes, cameras and distances are untried
  except for the pictures in docs/model.md.
- Presence in whole frames is learned from few frames and from crops pasted into them; small, far objects are missed,
  and in places unlike those roads textures are taken for cars.
- Bicycles are few, and usually have a person on them: the labels are confused most with each other.
- The temperatures were fitted on the validation crops. The ECE of `all` is cross-fitted over four contiguous blocks of
  frames (each block judged with a temperature fitted on the other three); everything else uses no fitted value.
- Probabilities describe crops that show one object; in whole frames they are less well calibrated.
- The fused image has no colour of its own; the node puts the visible chroma back.
"""


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
        "## Classification of crops\n\n" + _classification(metrics["classification"]),
    ]
    if "presence" in metrics:
        parts.append("## Presence in whole frames\n\n" + _presence(metrics["presence"]))
    if "fusion" in metrics:
        parts.append("## Fusion\n\n" + _fusion(metrics["fusion"]))
    parts += [_LIMITS.rstrip(), f"## Licence\n\n{training['licence']}"]
    return "\n\n".join(parts) + "\n"


def _splits(training: dict[str, Any]) -> str:
    rows = [f"{', '.join(training['data'])}. Ranges of frame ids (crops) and ranks (frames), upper end excluded:\n"]
    rows += ["| part | ranges |", "|---|---|"]
    for name, ranges in training["splits"].items():
        text = ", ".join(f"{low}–{high}" for low, high in ranges)
        rows.append(f"| {name.replace('_', ', ')} | {text or 'none'} |")
    rows.append(
        "\nThe test parts were not trained on; all figures below are on them. "
        "docs/model.md says what the recipe was chosen by."
    )
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
    labels = list(next(iter(modes.values()))["labels"])
    rows = ["| input | mAP | " + " | ".join(f"{x} AP, AUC" for x in labels) + " | illumination |"]
    rows.append("|---" * (3 + len(labels)) + "|")
    for mode, row in modes.items():
        cells = " | ".join(f"{item['ap']:.3f}, {item['auc']:.3f}" for item in row["labels"].values())
        light = row["illumination_accuracy"]
        rows.append(f"| {mode} | {row['map']:.3f} | {cells} | {'–' if light is None else f'{light:.3f}'} |")
    return "\n".join(rows)


def _fusion(values: dict[str, float]) -> str:
    head = "Means over the test frames, 8-bit output, in the convention of `vi-fusion evaluate fusion`:"
    names, cells = " | ".join(values), " | ".join(f"{value:.3f}" for value in values.values())
    return f"{head}\n\n| {names} |\n{'|---' * len(values)}|\n| {cells} |"
