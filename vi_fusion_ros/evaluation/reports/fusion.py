"""The report of a fusion evaluation: what the numbers are, how they spread, and what the frames look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vi_fusion_ros.drawing import attention_color, grey8, titled
from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED, SOURCES, FusionEvaluation
from vi_fusion_ros.evaluation.fusion.folders import FrameFiles, FrameImages, fused_images
from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import new_figure
from vi_fusion_ros.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE_WIDTH = 420
_COLUMNS = 3


def write_report(
    folder: Path, evaluation: FusionEvaluation, frames: list[FrameFiles], model: Path | None, command: str
) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        evaluation: of ``frames``.
        frames: as evaluated; those that were left out may be among them.
        model: ONNX file of our model, where it was evaluated.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    summary = evaluation.summary()
    page = Page("Fusion of visible and thermal images", command)
    page.text(f"{len(evaluation.frames)} frames, {len(evaluation.methods)} methods.")
    page.model(model)
    page.problems(evaluation.problems)
    page.heading("Mean and 95% bootstrap interval")
    page.text(
        "VIS, IR, AVG and MAX are the visible luma, the thermal image, their mean and their maximum. No single metric "
        "means anything: a copy of one source saturates MI, VIF and SSIM, noise raises EN, SF and AG. "
        f"Mean rank: methods are ranked by their mean in {', '.join(RANKED)} (1 is best); this is their mean. "
        "Bold is the best of a column; higher is better in every one but the rank. "
        "VIS and IR are no fusions: theirs, in brackets, is the place that they would take among the others."
    )
    page.table(results_table(summary))
    page.heading("Spread over the frames")
    page.figure(spread_figure(evaluation), "Box: quartiles and median. Whiskers: 5th and 95th percentile. Dot: mean.")
    page.heading("Frames")
    subject = OURS if OURS in evaluation.methods else evaluation.methods[0]
    by_name = {frame.name: frame for frame in frames}
    add_frames(page, evaluation, subject, lambda name: fused_images(by_name[name], model))
    page.heading("What each metric is")
    page.table(convention_table())
    return page.write(folder)


def results_table(summary: dict[str, Any]) -> Table:
    """Methods by metrics, best rank first."""
    ordered = sorted(summary["methods"], key=summary["mean_rank"].__getitem__)
    best = {
        metric: max(_known(summary["methods"][m][metric]["mean"] for m in ordered), default=None) for metric in METRICS
    }
    best_rank = min(rank for method, rank in summary["mean_rank"].items() if method not in SOURCES)
    table = Table(["method", "mean rank", *METRICS])
    for method in ordered:
        values = summary["methods"][method]
        rank = f"{summary['mean_rank'][method]:.2f}"
        low, high = summary["mean_rank_ci95"][method]
        cells = [
            method,
            (f"({rank})" if method in SOURCES else rank, _interval(low, high)),
            *((number(values[metric]["mean"]), _interval(*values[metric]["ci95"])) for metric in METRICS),
        ]
        bold = [i for i, metric in enumerate(METRICS, 2) if values[metric]["mean"] == best[metric]]
        if method not in SOURCES and summary["mean_rank"][method] == best_rank:
            bold.append(1)
        table.row(cells, bold, ours=method == OURS)
    return table


def _interval(low: float, high: float) -> str:
    return f"{number(low)} –\n{number(high)}" if np.isfinite(low) else ""


def convention_table() -> Table:
    """What every metric is and where it comes from."""
    table = Table(["metric", "name", "range", "better", "convention", "source"], text=True)
    for metric in METRICS.values():
        table.row([metric.name, metric.title, metric.range, metric.direction, metric.convention, metric.source])
    return table


def spread_figure(evaluation: FusionEvaluation) -> Figure:
    """One panel of box plots a metric."""
    figure = new_figure(11, 1.0 + 1.9 * -(-len(METRICS) // 4))
    axes = figure.subplots(-(-len(METRICS) // 4), 4).ravel()
    for index, (panel, metric) in enumerate(zip(axes, METRICS, strict=False)):
        columns = (evaluation.values[:, m, index] for m in range(len(evaluation.methods)))
        finite = {
            m: c[np.isfinite(c)] for m, c in zip(evaluation.methods, columns, strict=True) if np.isfinite(c).any()
        }
        panel.set_title(metric, fontsize=10)
        if not finite:  # no frame has a value, as where nowhere one source alone has structure
            panel.set_axis_off()
            continue
        boxes = panel.boxplot(
            list(finite.values()),
            whis=(5, 95),
            showfliers=False,
            showmeans=True,
            patch_artist=True,
            meanprops={"marker": ".", "markerfacecolor": "black", "markeredgecolor": "black"},
            medianprops={"color": "black"},
        )
        for box, method in zip(boxes["boxes"], finite, strict=True):
            box.set_facecolor("#5aa9e6" if method == OURS else "#d8dee4")
        panel.set_xticklabels(list(finite), fontsize=7, rotation=35, ha="right")
        panel.tick_params(axis="y", labelsize=7)
    for panel in axes[len(METRICS) :]:
        panel.set_visible(False)
    return figure


def chosen_frames(evaluation: FusionEvaluation, subject: str, each: int = 2) -> list[tuple[str, str, float]]:
    """The frames where ``subject`` ranks best, middling and worst: kind, name, its mean rank."""
    rank = evaluation.frame_ranks(subject)
    order = np.argsort(rank, kind="stable").tolist()
    middle = max(len(order) // 2 - each // 2, 0)
    parts = {"best": order[:each], "median": order[middle : middle + each], "worst": order[-each:]}
    chosen: dict[int, str] = {}
    for kind, indices in parts.items():
        for index in indices:
            chosen.setdefault(index, kind)
    return [(kind, evaluation.frames[index], float(rank[index])) for index, kind in chosen.items()]


def add_frames(
    page: Page, evaluation: FusionEvaluation, subject: str, images_of: Callable[[str], FrameImages], each: int = 2
) -> None:
    """Add pictures of the frames where ``subject`` does best, middling and worst to a page.

    Args:
        page: takes them.
        evaluation: of the frames.
        subject: name of a method.
        images_of: the images of a frame by its name.
        each: frames of each kind.
    """
    ranked = sum(method not in SOURCES for method in evaluation.methods)
    page.text(f"Chosen by the mean rank of {subject} on the frame alone: where it does best, middling and worst.")
    for kind, name, rank in chosen_frames(evaluation, subject, each):
        page.picture(mosaic(images_of(name)), f"{kind}: {name}, mean rank {rank:.2f} of {ranked}")


def mosaic(images: FrameImages) -> Image:
    """The sources, every method's result and our attention map as titled tiles, (H, W, 3) uint8 BGR."""
    tiles: dict[str, Image] = {"visible": images.visible, "thermal": images.thermal}
    if images.ours is not None:
        seen = images.ours.pair.visible
        tiles |= {"visible": images.visible if seen is None else seen.image, "thermal": images.thermal}
        tiles |= {OURS: images.ours.fused, "attention: yellow = thermal": attention_color(images.ours)}
    tiles |= {name: image for name, image in images.fused.items() if name not in (OURS, *SOURCES)}
    return grid(tiles)


def grid(tiles: dict[str, Image]) -> Image:
    """Tiles of one size under each other, three in a row, each with its title."""
    made = []
    for title, image in tiles.items():
        height = round(image.shape[0] * _TILE_WIDTH / image.shape[1])
        resized = cv2.resize(grey8(image), (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
        made.append(titled(resized, title))
    made += [np.full_like(made[0], 255)] * (-len(made) % _COLUMNS)
    rows = [np.hstack(made[start : start + _COLUMNS]) for start in range(0, len(made), _COLUMNS)]
    return np.vstack(rows)


def _known(values: Iterable[float]) -> Iterator[float]:
    return (value for value in values if not np.isnan(value))


def number(value: float) -> str:
    """Four significant digits; a dash where there is no value."""
    if np.isnan(value):
        return "–"
    return f"{value:.4g}" if np.isfinite(value) else "∞"
