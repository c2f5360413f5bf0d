"""The report of an evaluation of presence: tables, curves, calibration, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from vi_fusion_ros.evaluation.metrics.presence import STATISTICS
from vi_fusion_ros.evaluation.prediction import Judged
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.pictures import captioned, rows_of, tile
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.evaluation.studies.presence import JudgedSet, pooled
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAMERAS = {"both": "both cameras", "visible_black": "thermal alone", "thermal_black": "visible alone"}
"""What the cameras of each condition are called in reports."""

_TITLES = {
    "roc_auc": "ROC AUC",
    "recall": "recall",
    "false_alarm_rate": "false alarms",
    "recall_at_5": "recall at 5 % false alarms",
    "recall_at_10": "recall at 10 %",
}
_SHOWN = 8
_TILE = 260


def write_report(folder: Path, sets: Sequence[JudgedSet], result: dict[str, Any], model: Path, command: str) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        sets: with the verdicts; their images are still there.
        result: ``presence.summary`` of them.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("Which labels are there", command)
    counts = ", ".join(f"{name} ({row['n']})" for name, row in result["sets"].items())
    page.text(f"{result['n']} frames in {len(sets)} sets: {counts}.")
    page.model(model)
    page.problems(result["problems"])
    page.text(
        "A false alarm is a frame without the label in which the model says that it is there. Recall and false alarms "
        "are at the thresholds of the model; recall at 5 % is at the threshold that gives so many false alarms on "
        "these very frames. Small print: 95% interval over frames. ECE: mean distance of probability and frequency, "
        "15 bins."
    )
    parts = {**result["sets"], **({"all": result["all"]} if len(sets) > 1 else {})}
    for name, part in parts.items():
        page.heading(name if name != "all" or len(sets) == 1 else "All sets together")
        page.table(presence_table(part))
        light = part["illumination"]
        if light["n"]:
            page.text(f"Day told from night in {light['accuracy']:.1%} of {light['n']} frames.")
    together = pooled(sets)
    condition = most_judged(together)
    page.heading(f"Curves and calibration, {CAMERAS[condition]}")
    page.figure(curves(together, condition), "Dots: the thresholds of the model.")
    page.figure(calibration(parts, condition), "On the diagonal, probabilities mean what they say.")
    for one in sets:
        picture = mistakes(one)
        if picture is not None:
            page.heading(f"Worst mistakes in {one.chosen.name}")
            page.picture(picture, "Visible above thermal; the most wrong probability of each frame.")
    return page.write(folder)


def presence_table(part: dict[str, Any]) -> Table:
    """Labels by figures, for each condition, and by day and by night."""
    table = Table(["cameras", "frames", "label", "present / absent", *_TITLES.values(), "ECE"])
    rows = {CAMERAS[name]: found for name, found in part["conditions"].items()}
    rows |= {f"{CAMERAS[name]}, {light}": found for light in ("day", "night") for name, found in part[light].items()}
    for title, found in rows.items():
        if not found["n"]:
            continue
        for label, row in {**found["labels"], "mean": found["mean"]}.items():
            counts = f"{row['present']} / {row['absent']}" if "present" in row else ""
            cells: list[str | tuple[str, str]] = [title, str(found["n"]), label, counts]
            for key in STATISTICS:
                ends = row["ci95"].get(key)
                cells.append((number(row[key]), f"{ends[0]:.3f} – {ends[1]:.3f}" if ends else ""))
            table.row([*cells, number(row["ece"])], ours=label == "mean")
    return table


def most_judged(judged: Judged) -> str:
    """The condition under which most samples were judged; with both cameras, where that is one of them."""
    return max(judged.conditions, key=lambda name: int(judged.known_under(name).any(axis=1).sum()))


def curves(judged: Judged, condition: str) -> Figure:
    """ROC curve of each label."""
    figure = new_figure(5.4, 5)
    axes = figure.subplots()
    probability, known = judged.probability(condition), judged.known_under(condition)
    for k, label in enumerate(judged.labels):
        truth, score = judged.present[known[:, k], k], probability[known[:, k], k]
        if not truth.any() or truth.all():
            continue
        colour, threshold = COLOURS[k % len(COLOURS)], judged.thresholds_under(condition)[k]
        axes.plot(*roc_curve(truth, score)[:2], color=colour, label=label)
        axes.plot((score[~truth] >= threshold).mean(), (score[truth] >= threshold).mean(), "o", color=colour)
    axes.plot([0, 1], [0, 1], color="#b0b7bf", linewidth=1, linestyle="--")
    axes.set(title="ROC", xlabel="false alarms", ylabel="recall", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower right")
    return figure


def calibration(parts: dict[str, Any], condition: str) -> Figure:
    """How often each label is there against the probability that the model gave it, a line a set."""
    found = {name: part["conditions"][condition] for name, part in parts.items()}
    labels = next(list(row["labels"]) for row in found.values() if row["n"])
    figure = new_figure(4 * len(labels), 4)
    for axes, label in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels, strict=True):
        axes.plot([0, 1], [0, 1], color="#b0b7bf", linestyle="--", linewidth=1)
        for number_, (name, row) in enumerate(found.items()):
            bins = row["labels"][label]["reliability"] if row["n"] else []
            if bins:
                points = [b["probability"] for b in bins], [b["frequency"] for b in bins]
                axes.plot(*points, "o-", color=COLOURS[number_ % len(COLOURS)], label=name, markersize=3)
        axes.set(title=label, xlabel="probability", ylabel="frequency", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=7)
    return figure


def mistakes(one: JudgedSet) -> Image | None:
    """The wrong frames with the most wrong probability, (H, W, 3) uint8 BGR; None without any."""
    judged, condition = one.judged, most_judged(one.judged)
    probability, known = judged.probability(condition), judged.known_under(condition)
    error: npt.NDArray[np.float64] = np.where(known, np.abs(judged.present - probability), 0.0)
    wrong = ((judged.decided(condition) != judged.present) & known).any(axis=1)
    order = [int(i) for i in np.argsort(-error.max(axis=1), kind="stable") if wrong[i]][:_SHOWN]
    dataset = one.chosen.open()
    tiles = []
    for i in order:
        sample, k = judged.samples[i], int(error[i].argmax())
        pair = dict(zip(("visible", "thermal"), dataset.read(sample), strict=True))
        shown = [tile(image, _TILE) for camera, image in pair.items() if sample.camera in ("both", camera)]
        truth = ", ".join(sorted(sample.present)) or "nothing"
        tiles.append(
            captioned(
                np.vstack(shown),
                [sample.name[-34:], f"truth: {truth}", f"model: {judged.labels[k]} {probability[i, k]:.0%}"],
            )
        )
    return rows_of(tiles, 4) if tiles else None


def number(value: float | None) -> str:
    """Three decimals; a dash where there is no value."""
    return "–" if value is None else f"{value:.3f}"
