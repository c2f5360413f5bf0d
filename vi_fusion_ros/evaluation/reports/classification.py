"""The report of a classification evaluation: tables, curves, calibration and the worst mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from vi_fusion_ros.drawing import attention_color, grey8, with_objects
from vi_fusion_ros.evaluation.model_fusion import fuse_pair
from vi_fusion_ros.evaluation.prediction import Judged, views
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 12
_TILE = 180
_PART_KEYS = ("n", "macro_f1", "accuracy", "roc_auc", "average_precision", "ece")
_PART_TITLES = ("part", "samples", "macro F1", "accuracy", "ROC AUC", "average precision", "ECE")


def write_report(folder: Path, judged: Judged, result: dict[str, Any], root: Path, model: Path, command: str) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        judged: the verdicts.
        result: ``classification.report`` of them.
        root: folder of the dataset.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("Classification of visible and thermal images", command)
    page.text(f"{result['n']} samples of {root}, layout {result['layout']}. Decision: {result['decision']}.")
    page.model(model)
    page.problems(judged.problems)
    page.heading("Summary")
    ends = {name: f"95%: {low:.3f} – {high:.3f}" for name, (low, high) in result["ci95"].items()}
    page.table(_parts_table(result, ends))
    page.text("Black: the camera gave nothing, as when it fails. ECE: 15 bins, over all presence probabilities.")
    add_classification(page, judged, result)
    page.heading("By size of the object")
    page.table(_size_table(result))
    page.heading("Thresholds")
    page.table(_threshold_table(result, judged))
    page.heading("Best, middling and worst samples")
    page.text("By the most wrong probability of each sample. Visible, thermal, fused, attention (yellow is thermal).")
    page.picture(examples(judged, root, model), "Best in the first row, then the median, then the worst.")
    page.heading("Worst mistakes")
    worst = mistakes(judged, root)
    if worst is None:
        page.text("None.")
    else:
        page.picture(worst, "Visible above thermal; the model's most wrong probability.")
    return page.write(folder)


def add_classification(page: Page, judged: Judged, result: dict[str, Any]) -> None:
    """Add figures by label, ROC and precision-recall curves, confusion and calibration to a page.

    Args:
        page: takes them.
        judged: the verdicts.
        result: their ``by_class``, ``confusion`` and ``reliability``, as JSON has them.
    """
    page.heading("By label")
    page.table(_label_table(result))
    page.figure(curves(judged, result), "Both cameras; AP is the average precision.")
    page.heading("Confusion")
    page.figure(confusion_figure(result["confusion"]), "Rows are the truth, shares of a row; counts beneath.")
    page.heading("Calibration")
    page.figure(reliability_figure(result["reliability"]), "On the diagonal, probabilities mean what they say.")


def curves(judged: Judged, result: dict[str, Any]) -> Figure:
    """ROC and precision-recall curve of each label."""
    figure = new_figure(9.5, 4.4)
    roc, pr = figure.subplots(1, 2)
    probability, present, known = judged.probability("both"), judged.present, judged.known
    for k, label in enumerate(judged.labels):
        truth, score = present[known[:, k], k], probability[known[:, k], k]
        if not truth.any() or truth.all():
            continue
        false_rate, true_rate, _ = roc_curve(truth, score)
        precision, recall, _ = precision_recall_curve(truth, score)
        colour, row = COLOURS[k % len(COLOURS)], result["by_class"][label]
        roc.plot(false_rate, true_rate, color=colour, label=f"{label}, AUC {row['roc_auc']:.3f}")
        name = f"{label}, AP {row['average_precision']:.3f}"
        pr.step(recall, precision, color=colour, label=name, where="post")
    roc.plot([0, 1], [0, 1], color="#b0b7bf", linewidth=1, linestyle="--")
    for axes, title, x, y in (
        (roc, "ROC", "false positive rate", "true positive rate"),
        (pr, "Precision and recall", "recall", "precision"),
    ):
        axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="lower left" if axes is pr else "lower right")
    return figure


def confusion_figure(confusion: dict[str, Any]) -> Figure:
    """One matrix over the labels, or one of two by two a label."""
    if "counts" in confusion:
        matrices = {"": (confusion["labels"], np.array(confusion["counts"]))}
    else:
        matrices = {label: (["absent", "present"], np.array(counts)) for label, counts in confusion.items()}
    figure = new_figure(4.2 * len(matrices), 3.8)
    for axes, (title, (names, counts)) in zip(
        figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True
    ):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if share[row, column] > 0.55 else "black"
            text = f"{share[row, column]:.1%}\n{count}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
        axes.set(title=title, xlabel="model", ylabel="truth")
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
    return figure


def reliability_figure(bins: list[dict[str, float]]) -> Figure:
    """How often a label is there against the probability that the model gave it."""
    figure = new_figure(5.2, 5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    probability = [row["probability"] for row in bins]
    upper.plot([0, 1], [0, 1], color="#b0b7bf", linestyle="--", linewidth=1)
    upper.plot(probability, [row["frequency"] for row in bins], "o-", color=COLOURS[0])
    upper.set(ylabel="frequency", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    lower.bar(probability, [row["n"] for row in bins], width=0.04, color=COLOURS[0])
    lower.set(xlabel="probability", ylabel="count", yscale="log")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def examples(judged: Judged, root: Path, model: Path, each: int = 2) -> Image:
    """The samples with the least, the middle and the most wrong probability, a row each, (H, W, 3) uint8 BGR."""
    error = _errors(judged).max(axis=1)
    order = np.argsort(error, kind="stable").tolist()
    middle = max(len(order) // 2 - each // 2, 0)
    rows = []
    for chosen in (order[:each], order[middle : middle + each], order[-each:]):
        tiles = [_example(judged, int(i), root, model) for i in chosen]
        tiles += [np.full_like(tiles[0], 255)] * (each - len(tiles))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _example(judged: Judged, i: int, root: Path, model: Path) -> Image:
    sample = judged.samples[i]
    visible, thermal = views(judged, root, sample)
    result = fuse_pair(model, visible, thermal, judged.rig)
    assert result.thermal_grey is not None
    shown = (visible, result.thermal_grey, with_objects(result), attention_color(result))
    tiles = np.hstack([_tile(image) for image in shown])
    tiles = tiles[: round(_TILE * min(visible.shape[0] / visible.shape[1], 1))]
    said = ", ".join(f"{s.label} {s.probability:.0%}" for s in result.scores)
    return np.vstack([tiles, _caption(_truth(judged, i), f"model: {said}", tiles.shape[1])])


def _truth(judged: Judged, i: int) -> str:
    return ", ".join(sorted(judged.samples[i].present)) or "nothing"


def _errors(judged: Judged) -> npt.NDArray[np.float64]:
    """(N, C): how far each known probability is from the truth."""
    return np.where(judged.known, np.abs(judged.present - judged.probability("both")), 0.0)


def mistakes(judged: Judged, root: Path) -> Image | None:
    """The wrong samples with the most wrong probability, visible above thermal, (H, W, 3) uint8; None without any."""
    probability, present = judged.probability("both"), judged.present
    error = _errors(judged)
    order = np.argsort(-error.max(axis=1), kind="stable")
    wrong = (judged.decided("both") != present) & judged.known
    chosen = [int(i) for i in order if wrong[i].any()][:_SHOWN]
    tiles = []
    for i in chosen:
        k = int(error[i].argmax())
        pair = [_tile(image) for image in views(judged, root, judged.samples[i])]
        said = f"model: {judged.labels[k]} {probability[i, k]:.0%}"
        tiles.append(np.vstack([*pair, _caption(_truth(judged, i), said, _TILE)]))
    if not tiles:
        return None
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 6)
    return np.vstack([np.hstack(tiles[start : start + 6]) for start in range(0, len(tiles), 6)])


def _tile(image: Image) -> Image:
    scale = _TILE / max(image.shape[:2])
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    tile = np.full((_TILE, _TILE, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(grey8(image), size, interpolation=cv2.INTER_LINEAR)
    return tile


def _caption(truth: str, said: str, width: int) -> Image:
    strip = np.full((44, width, 3), 255, np.uint8)
    for row, text in enumerate((f"truth: {truth}", said)):
        cv2.putText(strip, text, (4, 16 + 18 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def _parts_table(result: dict[str, Any], ends: dict[str, str]) -> Table:
    table = Table(_PART_TITLES)
    parts = {
        "all, both cameras": result,
        "day": result["day"],
        "night": result["night"],
        "visible black": result["modality"]["visible_black"],
        "thermal black": result["modality"]["thermal_black"],
    }
    for title, part in parts.items():
        cells: list[str | tuple[str, str]] = [title]
        for key in _PART_KEYS:
            text = _number(part.get(key))
            cells.append((text, ends[key]) if part is result and key in ends else text)
        table.row(cells, ours=part is result)
    return table


def _label_table(result: dict[str, Any]) -> Table:
    keys = ("n", "precision", "recall", "f1", "roc_auc", "average_precision", "ece")
    table = Table(["label", "samples", "precision", "recall", "F1", "ROC AUC", "average precision", "ECE", "F1 by day",
                   "F1 by night"])  # fmt: skip
    for label, row in result["by_class"].items():
        light = [result.get(p, {}).get("by_class", {}).get(label, {}).get("f1") for p in ("day", "night")]
        table.row([label, *(_number(row[key]) for key in keys), *map(_number, light)])
    return table


def _size_table(result: dict[str, Any]) -> Table:
    table = Table(["area", "objects", "recall", *(f"recall of {label}" for label in result["labels"])])
    spans = {"small": "small, below 32² px", "medium": "medium, below 96² px", "large": "large"}
    for name, row in result["by_size"].items():
        by_label = [f"{_number(entry['recall'])} ({entry['n']})" for entry in row["by_class"].values()]
        table.row([spans[name], str(row["n"]), _number(row["recall"]), *by_label])
    return table


def _threshold_table(result: dict[str, Any], judged: Judged) -> Table:
    table = Table(["threshold", *(f"{label}: precision / recall / F1" for label in result["labels"])])
    rows: dict[float, dict[str, str]] = {}
    for label, entries in result["thresholds"].items():
        for e in entries:
            text = f"{e['precision']:.3f} / {e['recall']:.3f} / {e['f1']:.3f}"
            rows.setdefault(e["threshold"], {})[label] = text
    for threshold in sorted(rows):
        used = [k for k, label in enumerate(judged.labels, 1) if threshold == judged.thresholds_under("both")[k - 1]]
        table.row([f"{threshold:.2f}", *(rows[threshold].get(label, "") for label in judged.labels)], best=used)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
