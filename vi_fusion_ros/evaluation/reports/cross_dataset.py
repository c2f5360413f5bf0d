"""The report of one model over several datasets: the table, the spread, and frames of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED
from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.reports.fusion import add_frames, number
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.evaluation.reports.presence import CAMERAS
from vi_fusion_ros.evaluation.studies.cross_dataset import SCORES, OneDataset, means_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SCORE_TITLES = {
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "ece": "ECE",
    "false_alarm_rate": "false alarms",
    "recall_at_5": "recall at 5 % false alarms",
    "recall_at_10": "recall at 10 % false alarms",
    "ap50": "AP50",
    "ap": "AP50:95",
    "log_average_miss_rate": "log-average miss rate",
}


def write_report(
    folder: Path, results: dict[str, OneDataset], result: dict[str, Any], model: Path, command: str
) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        results: by name of the dataset.
        result: ``cross.summary`` of them.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("One model over several datasets", command)
    page.text(f"Trained on: {', '.join(result['training_data']) or 'not said in its manifest'}.")
    page.model(model)
    page.problems([f"{name}: {problem}" for name, row in results.items() for problem in row.problems])
    page.heading("Fusion")
    page.text(
        "Our model, mean and 95% interval. Metrics depend on the scene as well as on the method: small print says the "
        "gain over AVG, the mean of both images, on the same frames. The place is the mean rank among our model, AVG "
        "and MAX."
    )
    page.table(_fusion_table(result["datasets"]))
    if any(row.fusion for row in results.values()):
        page.figure(_fusion_figure(results), "Our model on each dataset: quartiles, 5th to 95th percentile. Bar: AVG.")
    page.heading("Classification")
    page.table(_classification_table(result["datasets"]))
    page.heading("Presence and boxes in whole frames")
    page.text(
        "Means over the labels. Recall and false alarms of presence at the model's thresholds, and recall at the "
        "threshold of so many false alarms; AP50, AP50:95 and log-average miss rate of boxes."
    )
    page.table(_told_table(result["datasets"]))
    page.heading("Spread over the datasets")
    page.text("Highest minus lowest value over the size of the mean. A model fitted to one dataset spreads far.")
    page.table(_spread_table(result["spread"]))
    for name, row in results.items():
        if row.fusion is not None:
            page.heading(f"Frames of {name}")
            add_frames(page, row.fusion, OURS, partial(row.images, model=model), each=1)
    return page.write(folder)


def _fusion_table(datasets: dict[str, Any]) -> Table:
    table = Table(["dataset", "layout", "pairs", *RANKED, "place"])
    for name, row in datasets.items():
        cells: list[str | tuple[str, str]] = [name, row["layout"], str(row["n"])]
        if not row["fusion"]:
            table.row([*cells, *["–"] * (len(RANKED) + 1)])
            continue
        ours, gain = row["fusion"]["methods"][OURS], row["fusion"]["gain_over_average"]
        for metric in RANKED:
            low, high = ours[metric]["ci95"]
            over = "" if gain[metric] is None else f"\nAVG {gain[metric]:+.0%}"
            cells.append((number(ours[metric]["mean"]), f"{number(low)} – {number(high)}{over}"))
        table.row([*cells, f"{row['fusion']['mean_rank'][OURS]:.2f}"])
    return table


def _classification_table(datasets: dict[str, Any]) -> Table:
    table = Table(
        ["dataset", "samples", *(_SCORE_TITLES.get(s, s) for s in SCORES), "F1, visible black", "F1, thermal black"]
    )
    for name, row in datasets.items():
        found = row["classification"]
        if found is None:
            table.row([name, "no labels", *["–"] * (len(SCORES) + 2)])
            continue
        cells: list[str | tuple[str, str]] = [name, str(found["n"])]
        for score in SCORES:
            ends = found["ci95"].get(score)
            cells.append((_score(found[score]), f"{ends[0]:.3f} – {ends[1]:.3f}" if ends else ""))
        black = [found["modality"][key]["macro_f1"] for key in ("visible_black", "thermal_black")]
        table.row([*cells, *map(_score, black)])
    return table


def _told_table(datasets: dict[str, Any]) -> Table:
    table = Table(
        ["dataset", "cameras", "recall", "false alarms", "recall at 5 %", "at 10 %", "AP50", "AP50:95", "missed"]
    )
    for name, row in datasets.items():
        for condition, cameras in CAMERAS.items():
            told = means_of(row, condition)
            if any(value is not None for value in told.values()):
                table.row([name, cameras, *map(_score, told.values())])
    return table


def _spread_table(spread: dict[str, Any]) -> Table:
    table = Table(["", "lowest", "highest", "spread"])
    for name, row in {name: row for part in spread.values() for name, row in part.items()}.items():
        table.row([_SCORE_TITLES.get(name, name), row["lowest"], row["highest"],
                   "–" if row["relative"] is None else f"{row['relative']:.1%}"])  # fmt: skip
    return table


def _fusion_figure(results: dict[str, OneDataset]) -> Figure:
    shown = {name: row.fusion for name, row in results.items() if row.fusion is not None}
    figure = new_figure(11, 4.6)
    for panel, metric in zip(figure.subplots(2, 4).ravel(), RANKED, strict=True):
        column = list(METRICS).index(metric)
        values = [fusion.values[:, 0, column] for fusion in shown.values()]
        boxes = panel.boxplot(values, whis=(5, 95), showfliers=False, patch_artist=True, medianprops={"color": "black"})
        for box in boxes["boxes"]:
            box.set_facecolor("#5aa9e6")
        for place, fusion in enumerate(shown.values(), 1):
            average = float(np.mean(fusion.values[:, fusion.methods.index("AVG"), column]))
            panel.hlines(average, place - 0.35, place + 0.35, color=COLOURS[1], linewidth=1.6)
        panel.set_title(metric, fontsize=10)
        panel.set_xticklabels(list(shown), fontsize=7, rotation=25, ha="right")
        panel.tick_params(axis="y", labelsize=7)
    return figure


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
