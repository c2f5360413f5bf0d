"""The chart of ``vi-fusion benchmark light``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def chart(result: dict[str, Any]) -> Figure:
    """Each truth over the time as a share of the first model's, with the region that a light model has to lie in.

    A point that has lost more than that says how much.
    """
    figure = new_figure(11, 3.8)
    rows, most = result["rows"], result["most"]
    for axes, key in zip(figure.subplots(1, 3), ("Qabf", "VIF", "auc"), strict=True):
        least = rows[0][key] - most[key]
        axes.axvspan(0, most["time"], ymin=0, color="#eef3ee", zorder=0)
        axes.axhline(least, color="#8c959f", linewidth=0.8, linestyle="--")
        for place, (row, colour) in enumerate(zip(rows, COLOURS * len(rows), strict=False)):
            axes.scatter(row["time"], row[key], color=colour, s=42, zorder=3)
            said = row["name"] + (f"\n{row['lost'][key]:.3f} lost" if row["lost"][key] > most[key] else "")
            # Above and below in turn: points that are near each other stay readable.
            side = {"xytext": (5, -5), "va": "top"} if place % 2 else {"xytext": (5, 5)}
            axes.annotate(said, (row["time"], row[key]), textcoords="offset points", fontsize=8, **side)
        values = [row[key] for row in rows] + [least]
        spread = max(values) - min(values)
        axes.set_xlim(0, 1.3 * max(row["time"] for row in rows))
        axes.set_ylim(min(values) - 0.1 * spread - 0.005, max(values) + 0.2 * spread + 0.005)
        axes.set_title({"auc": "presence, ROC-AUC"}.get(key, key))
        axes.set_xlabel("time, share of the first model's")
    return figure
