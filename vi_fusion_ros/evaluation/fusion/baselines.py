"""Other methods' metric values by frame, from a CSV file: to rank beside methods whose images are not at hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED, TRIVIAL, FusionEvaluation
from vi_fusion_ros.evaluation.metrics.fusion import METRICS

_ALIASES = {"SSIM2": "SSIM"}
"""Columns by other names than ours: SSIM with data_range 2, told from ``SSIM255``."""

Values = dict[str, dict[str, list[float]]]


def read_baselines(path: Path) -> Values:
    """Read values by method and frame.

    Args:
        path: CSV with the columns ``frame`` (file stem), ``method``, every ranked metric, and any others of
            ``METRICS``; further columns are ignored. The values must be in the convention of ``METRICS``.

    Returns:
        By method, then by frame: values in the order of ``METRICS``, NaN for a metric without a column.

    Raises:
        ValueError: the file cannot be used; one sentence with its path and line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = {_ALIASES.get(name, name): name for name in reader.fieldnames or ()}
            missing = [name for name in ("frame", "method", *RANKED) if name not in columns]
            if missing:
                raise ValueError(f"{path}: has no column {', '.join(missing)}; expected frame, method and metrics")
            values: Values = {}
            for row in reader:
                _add(values, row, columns, f"{path}, line {reader.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no CSV file ({error}); expected the columns frame, method and metrics") from error
    if not values:
        raise ValueError(f"{path}: holds no row; expected one a method and frame")
    return values


def with_baselines(evaluation: FusionEvaluation, baselines: Values, path: Path) -> FusionEvaluation:
    """The evaluation with more methods, whose values come from ``baselines``.

    Args:
        evaluation: of N frames.
        baselines: as ``read_baselines`` gives them, for these frames at least.
        path: where they come from, for messages.

    Raises:
        ValueError: a method's name is taken, or it has no values for one of the frames.
    """
    columns: list[npt.NDArray[np.float64]] = []
    for method, by_frame in baselines.items():
        if method in {*evaluation.methods, *TRIVIAL, OURS}:
            raise ValueError(f"{path}: the method {method} is evaluated already; expected other names")
        missing = [frame for frame in evaluation.frames if frame not in by_frame]
        if missing:
            raise ValueError(
                f"{path}: method {method} has no values for {len(missing)} of {len(evaluation.frames)} frames, the "
                f"first is '{missing[0]}'; expected a row a method and frame"
            )
        columns.append(np.array([by_frame[frame] for frame in evaluation.frames]))
    values = np.concatenate([evaluation.values, np.stack(columns, axis=1)], axis=1)
    return FusionEvaluation((*evaluation.methods, *baselines), evaluation.frames, values, evaluation.problems)


def _add(values: Values, row: dict[str, str], columns: dict[str, str], place: str) -> None:
    method, frame = row["method"], row["frame"]
    if not (method and frame):
        raise ValueError(f"{place}: has no method or no frame; expected both")
    by_frame = values.setdefault(method, {})
    if frame in by_frame:
        raise ValueError(f"{place}: a second row of method {method} and frame {frame}; expected one")
    by_frame[frame] = [
        _number(row[columns[name]], f"{place}, {name}") if name in columns else math.nan for name in METRICS
    ]


def _number(text: str | None, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: '{text or ''}'; expected a finite number")
    return value
