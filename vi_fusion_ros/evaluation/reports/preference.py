"""The report of a study of what people prefer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vi_fusion_ros.evaluation.preference.record import answers_of
from vi_fusion_ros.evaluation.reports.html_report import Page, Table
from vi_fusion_ros.evaluation.reports.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(folder: Path, result: dict[str, Any], command: str) -> Path:
    """Write ``index.html`` into ``folder``, which is made where it is missing.

    Args:
        folder: of the page.
        result: ``preference.summary.summary``.
        command: what the user typed.

    Returns:
        Path of the page.
    """
    people = [person for person in result["people"] if person["answers"]]
    page = Page("What people prefer", command)
    page.text(f"{answers_of(result['n'], len(people))} to: {result['question']}")
    if len(people) == 1:
        page.text("One person has answered: the intervals hold for other scenes, not for other people.", "warn")
    page.heading("Scores of the methods")
    page.figure(
        _scores(result["methods"]),
        "Bradley-Terry score (natural logarithm of the odds, mean 0) and 95% interval, people and scenes drawn anew.",
    )
    page.table(_methods(result))
    page.heading("Agreement between people")
    page.text(_agreement(result["agreement"]))
    page.table(_people(people))
    if result["metrics"] is not None:
        page.heading("Metrics against people")
        page.text(
            "Kendall's tau, -1 to 1. Over methods: between the metric's mean and the score of each method (tau-b, p "
            f"two-sided; {len(result['methods'])} methods, so read it with care). Over answers: concordant minus "
            "discordant answers, scene by scene, as a share of all; small print: 95% interval."
        )
        page.table(_metrics(result["metrics"]))
    return page.write(folder)


def _scores(methods: dict[str, Any]) -> Figure:
    ordered = sorted(methods, key=lambda name: methods[name]["score"])
    figure = new_figure(8, 1.0 + 0.42 * len(ordered))
    panel = figure.subplots()
    for place, name in enumerate(ordered):
        row = methods[name]
        panel.plot(row["ci95"], [place, place], color=COLOURS[0], linewidth=2.2)
        panel.plot(row["score"], place, "o", color=COLOURS[0])
    panel.axvline(0, color="#8c959f", linewidth=0.8)
    panel.set_yticks(range(len(ordered)), ordered)
    panel.set_ylim(-0.6, len(ordered) - 0.4)
    panel.set_xlabel("score; to the right is preferred")
    return figure


def _methods(result: dict[str, Any]) -> Table:
    ordered = sorted(result["methods"], key=lambda name: -result["methods"][name]["score"])
    table = Table(["method", "score", "chosen", *(f"over {name}" for name in ordered)])
    for name in ordered:
        row, won = result["methods"][name], result["wins"][name]
        cells: list[str | tuple[str, str]] = [name, (_number(row["score"]), _interval(row["ci95"]))]
        cells.append(f"{row['chosen']} of {row['asked']}")
        for other in ordered:
            games = 0 if other == name else won[other] + result["wins"][other][name]
            cells.append(f"{won[other]} of {games}" if games else "")
        table.row(cells)
    return table


def _agreement(row: dict[str, Any]) -> str:
    if not row["shared_questions"]:
        return "No question has been answered by two people: nothing can be said about agreement."
    return (
        f"Two people who saw the same two pictures chose the same one in {row['share']:.0%} of cases (95% interval "
        f"{row['ci95'][0]:.0%} to {row['ci95'][1]:.0%}; 50% by chance), over {row['shared_questions']} questions that "
        f"two or more have answered. Kendall's u is {row['kendall_u']:.2f}."
    )


def _people(people: list[dict[str, Any]]) -> Table:
    table = Table(["person", "answers", "agrees with others", "chose the left one", "median time"])
    for row in people:
        agrees = "" if math.isnan(row["agrees_with_others"]) else f"{row['agrees_with_others']:.0%}"
        count = f"{row['answers']} of {row['questions']}"
        table.row([row["name"], count, agrees, f"{row['left']:.0%}", f"{row['median_s']:.1f} s"])
    return table


def _metrics(metrics: dict[str, Any]) -> Table:
    table = Table(["metric", "tau over answers", "tau over methods", "p"])
    for name in sorted(metrics, key=lambda name: -_or_low(metrics[name]["tau_votes"])):
        row = metrics[name]
        table.row(
            [name, (_number(row["tau_votes"]), _interval(row["ci95"])), _number(row["tau_methods"]), _number(row["p"])]
        )
    return table


def _or_low(value: float) -> float:
    return value if math.isfinite(value) else -2.0


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else ""


def _interval(ends: list[float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}" if math.isfinite(ends[0]) else ""
