"""The report of a robustness evaluation: drops by condition and level, and what a pair looks like under each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vi_fusion_ros.drawing import attention_color, grey8, titled
from vi_fusion_ros.evaluation.fusion.evaluation import OURS
from vi_fusion_ros.evaluation.pairs import PairView
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.evaluation.studies.robustness import METHODS, Robustness, corrupted, fused_under, mean_drops
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWN = ("SCD", "Qabf", "VIF", "SSIM", "MI")
"""The metrics that compare with the sources, in the plots."""

_SHOWN_SEVERITY = 4
_SHOWN_LEVELS = {"misalignment": 8, "visible_late": 1, "thermal_late": 1}
_TILE_WIDTH = 300
_PLOT_COLUMNS = 5


def write_report(folder: Path, robustness: Robustness, result: dict[str, Any], model: Path, command: str) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        robustness: the evaluation.
        result: its summary.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page("Robustness of fusion and classification", command)
    page.text(f"{result['n']} pairs of {robustness.pairs.root}, layout {result['layout']}, seed {result['seed']}.")
    page.model(model)
    page.problems(robustness.problems)
    page.heading("What is lost")
    page.text(
        "Drop relative to clean images, mean over the levels; positive is worse. Fusion metrics compare with the clean "
        "sources. Noise raises EN, SD and SF, and a copy of one source saturates MI, VIF and SSIM, so "
        "that a missing camera may seem a gain there; SCD and Qabf say what is left of both cameras."
    )
    page.table(_drop_table(result))
    page.heading("By level")
    page.figure(level_figure(result), "Relative drop of our fusion, and of the macro F1 (black), against the level.")
    if result["clean"]["fusion"]:
        page.heading("Against the trivial fusions")
        page.text("Drop of SCD and Qabf at the highest level of each condition.")
        page.table(_method_table(result))
    page.heading("Clean")
    page.table(_clean_table(result))
    page.heading("What it looks like")
    view = PairView(robustness.pairs, robustness.pairs.indices[len(robustness.pairs.indices) // 2])
    page.text(f"Pair {view.name}, the middle one: severity {_SHOWN_SEVERITY}, 8 pixels, one frame late.")
    page.picture(gallery(view, robustness, model), "What the pipeline got, what it made of it, and its attention.")
    return page.write(folder)


def level_figure(result: dict[str, Any]) -> Figure:
    """One panel a condition with several levels."""
    names = [name for name, entry in result["conditions"].items() if len(entry["levels"]) > 1]
    rows = -(-len(names) // _PLOT_COLUMNS)
    figure = new_figure(13, 2.5 * rows + 0.4)
    panels = figure.subplots(rows, _PLOT_COLUMNS, sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        levels = result["conditions"][name]["levels"]
        ticks = range(len(levels))
        for metric, colour in zip(_DRAWN, COLOURS, strict=False):
            if result["clean"]["fusion"]:
                drops = [row["fusion"][OURS][metric]["drop"] for row in levels.values()]
                panel.plot(ticks, drops, ".-", color=colour, label=metric, linewidth=1.2)
        if result["clean"]["classification"]:
            drops = [row["classification"]["macro_f1"]["drop"] for row in levels.values()]
            drops = [np.nan if drop is None else drop for drop in drops]
            panel.plot(ticks, drops, ".--", color="black", label="macro F1", linewidth=1.2)
        panel.axhline(0, color="#b0b7bf", linewidth=0.8)
        panel.set_title(name.replace("_", " "), fontsize=9)
        panel.set_xticks(ticks, [f"{row['strength']:g}" for row in levels.values()], fontsize=7)
        panel.set_xlabel(result["conditions"][name]["what"], fontsize=7)
        panel.tick_params(axis="y", labelsize=7)
        panel.grid(alpha=0.3)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return figure


def gallery(view: PairView, robustness: Robustness, model: Path) -> Image:
    """A row a condition: visible and thermal as given, fused, attention; (H, W, 3) uint8 BGR."""
    rows = []
    for condition in robustness.conditions:
        if condition.level not in (0, _SHOWN_LEVELS.get(condition.name, _SHOWN_SEVERITY)):
            continue
        result, _ = fused_under(view, condition, robustness.seed, model)
        given = corrupted(view, condition, robustness.seed)
        seen = [np.zeros_like(view.visible) if image is None else image for image in given]
        tiles = [_tile(image) for image in (*seen, result.fused, attention_color(result))]
        tiles[0] = titled(tiles[0], condition.name.replace("_", " "))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def _tile(image: Image) -> Image:
    height = round(image.shape[0] * _TILE_WIDTH / image.shape[1])
    return np.asarray(cv2.resize(grey8(image), (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA))


def _drop_table(result: dict[str, Any]) -> Table:
    rows = mean_drops(result)
    table = Table(["condition", *(_title(column) for column in next(iter(rows.values())))])
    for name, row in rows.items():
        table.row([name.replace("_", " "), *map(_share, row.values())])
    return table


def _method_table(result: dict[str, Any]) -> Table:
    table = Table(["condition", *(f"{metric} of {method}" for metric in ("SCD", "Qabf") for method in METHODS)])
    for name, entry in result["conditions"].items():
        worst = list(entry["levels"].values())[-1]["fusion"]
        drops = [worst[method][metric]["drop"] for metric in ("SCD", "Qabf") for method in METHODS]
        table.row([name.replace("_", " "), *map(_share, drops)])
    return table


def _clean_table(result: dict[str, Any]) -> Table:
    clean = result["clean"]
    table = Table(["", "value"])
    for metric, row in (clean["fusion"] or {OURS: {}})[OURS].items():
        table.row([metric, f"{row['mean']:.4g}"])
    for score, row in (clean["classification"] or {}).items():
        if isinstance(row, dict):
            table.row([_title(score), "–" if row["value"] is None else f"{row['value']:.3f}"])
    return table


def _title(score: str) -> str:
    return {"macro_f1": "macro F1", "roc_auc": "ROC AUC"}.get(score, score.replace("_", " "))


def _share(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:+.1%}"
