"""The report of a bag: cameras, labels over time, latency, fusion, and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, FusionEvaluation
from vi_fusion_ros.evaluation.prediction import Judged
from vi_fusion_ros.evaluation.reports.classification import add_classification
from vi_fusion_ros.evaluation.reports.fusion import chosen_frames, results_table
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure
from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    folder: Path,
    evaluation: StreamEvaluation,
    fusion: FusionEvaluation | None,
    judged: Judged | None,
    result: dict[str, Any],
    model: Path,
    command: str,
) -> Path:
    """Write ``index.html`` into ``folder``.

    Args:
        folder: made where it is missing.
        evaluation: of the bag.
        fusion: metrics on its samples.
        judged: its answers against the given labels.
        result: ``stream_evaluation.summary`` of them.
        model: the ONNX file.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    page = Page(f"Bag {result['bag']}", command)
    timings = result["timings"]
    page.text(
        f"{result['n']} pairs, each once; {timings['pairs_per_s']:.1f} pairs/s, "
        f"{timings['real_time_factor']:.2f} times real time."
    )
    page.model(model)
    page.problems(result["problems"])
    page.heading("Cameras and pairing")
    page.table(_pairing_table(result["pairing"]))
    page.figure(skew_figure(result["pairing"]["skew_histogram"]), "Thermal minus visible stamp of each pair.")
    page.heading("Labels over time")
    page.figure(timeline_figure(evaluation), "Probability of presence; coloured bars where the model says present.")
    page.table(_label_table(result["labels"]))
    if judged is not None:
        add_classification(page, judged, result["classification"])
    page.heading("Latency")
    page.figure(latency_figure(evaluation), "Milliseconds a pair; box: quartiles, whiskers: 5th and 95th percentile.")
    page.table(_latency_table(timings["latency_ms"]))
    if fusion is not None:
        page.heading("Fusion")
        page.text(
            f"On {len(fusion.frames)} pairs spread evenly over the bag, where both cameras see. Mean and 95% interval; "
            "bold is the best of a column. VIS and IR are no fusions: in brackets is the place that they would take."
        )
        page.table(results_table(fusion.summary()))
        page.heading("Pictures")
        page.text("Where our fusion ranks best, middling and worst among the methods of the table.")
        mosaics = {sample.name: sample.mosaic for sample in evaluation.samples if sample.mosaic is not None}
        for kind, name, rank in chosen_frames(fusion, OURS):
            page.picture(mosaics[name], f"{kind}: stamp {name}, mean rank {rank:.2f}")
    return page.write(folder)


def skew_figure(histogram: dict[str, Any]) -> Figure:
    """Counts of pairs by skew."""
    figure = new_figure(7.5, 2.6)
    axes = figure.subplots()
    edges = np.array(histogram["edges_ms"])
    axes.bar(edges[:-1], histogram["counts"], np.diff(edges), align="edge", color=COLOURS[0])
    axes.set(xlabel="skew, ms", ylabel="pairs")
    axes.grid(alpha=0.3)
    return figure


def timeline_figure(evaluation: StreamEvaluation) -> Figure:
    """One panel a label, and one for the thermal share."""
    rows = [*evaluation.labels, "thermal share"]
    figure = new_figure(10.5, 1.2 * len(rows) + 0.5)
    stamps = np.array(evaluation.stamps_ns)
    seconds = (stamps - stamps.min()) / 1e9
    probability, present = np.array(evaluation.probabilities), np.array(evaluation.present)
    for k, (axes, name) in enumerate(zip(figure.subplots(len(rows), 1, sharex=True), rows, strict=True)):
        values = probability[:, k] if k < len(evaluation.labels) else np.array(evaluation.attention)
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(seconds, values, color=colour, linewidth=1)
        if k < len(evaluation.labels):
            axes.fill_between(seconds, 0, 1, where=present[:, k], color=colour, alpha=0.15, step="mid", linewidth=0)
        axes.set(ylim=(-0.03, 1.03))
        axes.set_ylabel(name, fontsize=8)
        axes.grid(alpha=0.3)
    axes.set_xlabel("seconds from the first pair")
    return figure


def latency_figure(evaluation: StreamEvaluation) -> Figure:
    """A box a stage."""
    figure = new_figure(7.5, 2.8)
    axes = figure.subplots()
    stages = list(evaluation.latency_ms)
    axes.boxplot(
        [evaluation.latency_ms[stage] for stage in stages],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
    )
    axes.set_yticks(range(1, len(stages) + 1), stages)
    axes.invert_yaxis()
    axes.set(xlabel="ms", xlim=(0, None))
    axes.grid(alpha=0.3, axis="x")
    return figure


def _pairing_table(pairing: dict[str, Any]) -> Table:
    table = Table(["", "visible", "thermal"])
    for title, key in (("messages", "received"), ("rate, Hz", "rate_hz")):
        table.row([title, *(_number(pairing[f"{camera}_{key}"]) for camera in ("visible", "thermal"))])
    table.row(["pairs", str(pairing["pairs"]), ""])
    table.row(["mean and largest skew, ms", *(f"{pairing[k]:.2f}" for k in ("mean_skew_ms", "max_abs_skew_ms"))])
    for reason, count in {**pairing["drops"], **pairing["invalid"], "time resets": pairing["time_resets"]}.items():
        if count:
            table.row([f"not used: {reason}" if reason != "time resets" else reason, str(count), ""])
    return table


def _label_table(labels: dict[str, Any]) -> Table:
    table = Table(["label", "present in pairs", "share", "mean probability", "times it appears"])
    for label, row in labels.items():
        share, mean = f"{row['present_share']:.1%}", f"{row['mean_probability']:.3f}"
        table.row([label, str(row["present_pairs"]), share, mean, str(len(row["present_stamps_ns"]))])
    return table


def _latency_table(latency: dict[str, dict[str, float]]) -> Table:
    table = Table(["stage", "p50", "p95", "p99"])
    for stage, row in latency.items():
        table.row([stage, *(f"{row[p]:.2f}" for p in ("p50", "p95", "p99"))])
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
