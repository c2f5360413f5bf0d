"""What a run of tasks in turn has kept of the earlier ones: ``python -m vi_fusion_ros.training.methods.forgetting``."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import yaml

from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.training.methods.consolidation import stage_of
from vi_fusion_ros.training.methods.fusiondn import TASKS


def losses_after_tasks(run: Path) -> dict[str, Any]:
    """Selection loss of every task after the last epoch of each task.

    Args:
        run: folder of a run of ``fusiondn``.

    Returns:
        ``ewc``, and ``after``: by the task that was learned last, the loss of each task by name.

    Raises:
        ValueError: no such run, or it is not finished.
    """
    log = run / "csv" / "version_0" / "metrics.csv"
    if not log.is_file():
        raise ValueError(f"{log} is missing; expected the folder of a run of fusiondn")
    optim = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["optim"]
    with log.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("select/score")]
    if len(rows) < optim["epochs"]:
        raise ValueError(f"{run} has had {len(rows)} of its {optim['epochs']} epochs; expected all")
    after: dict[str, dict[str, float]] = {}
    for row in rows:
        task = TASKS[stage_of(int(row["epoch"]), optim["epochs"])]
        after[task.name] = {one.name: round(float(row[f"select/{one.name}"]), 4) for one in TASKS}
    return {"ewc": optim["ewc"], "after": after}


def main(given: list[str] | None = None) -> int:
    """Write the JSON of several runs and print them."""
    parser = argparse.ArgumentParser(description="Selection losses of fusiondn's tasks after each of them was learned.")
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the result goes")
    args = parser.parse_args(given)
    runs = {run.name: losses_after_tasks(run) for run in args.runs}
    write_json(args.json, {"runs": runs})
    for name, run in runs.items():
        print(f"{name}, penalty {run['ewc']:g}")
        for task, losses in run["after"].items():
            print(f"  after {task:<18}" + "".join(f"{one}: {loss:.3f}  " for one, loss in losses.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
