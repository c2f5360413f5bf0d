"""Two measurements of ``vi-fusion benchmark``, figure by figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from vi_fusion_ros.yaml_files import is_finite_number, read_json

_TELLING = ("backend", "precision", "size", "threads", "setting", "cuda_graph")
"""What tells the rows of a measurement apart."""

_CIRCUMSTANCES = {"load_average_1min", "cores", "runs"}
_LONG = 24


class Change(NamedTuple):
    """One figure.

    Attributes:
        name: path of the figure in the JSON, rows named by what tells them apart.
        before: in the first measurement.
        after: in the second.
    """

    name: str
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        """``after`` by ``before``; None where that is 0."""
        return self.after / self.before if self.before else None


class Comparison(NamedTuple):
    """What two measurements have in common and what not.

    Attributes:
        changes: figures that are in both.
        only_before: names that only the first has.
        only_after: names that only the second has.
        circumstances: what differs in where and how they were made: (name, before, after).
    """

    changes: list[Change]
    only_before: list[str]
    only_after: list[str]
    circumstances: list[tuple[str, Any, Any]]


def compare(before: Path, after: Path) -> Comparison:
    """Compare the JSON of two benchmarks of one kind.

    Raises:
        ValueError: a file is no measurement, or the two have no figure in common; one sentence.
    """
    first, second = (_figures(path) for path in (before, after))
    shared = [name for name in first[0] if name in second[0]]
    if not shared:
        raise ValueError(
            f"{before} and {after} have no figure in common; expected the JSON of one benchmark, run twice"
        )
    told = [name for name in first[1] if name in second[1] and first[1][name] != second[1][name]]
    return Comparison(
        [Change(name, first[0][name], second[0][name]) for name in shared],
        [name for name in first[0] if name not in second[0]],
        [name for name in second[0] if name not in first[0]],
        [(name, first[1][name], second[1][name]) for name in told],
    )


def _figures(path: Path) -> tuple[dict[str, float], dict[str, Any]]:
    document = read_json(path, "measurement")
    if not isinstance(document, dict):
        raise ValueError(f"measurement {path} is not a JSON object")  # noqa: TRY004 (a user's fault)
    figures: dict[str, float] = {}
    circumstances: dict[str, Any] = {}
    _collect("", document, figures, circumstances)
    return figures, circumstances


def _collect(prefix: str, value: Any, figures: dict[str, float], circumstances: dict[str, Any]) -> None:
    name = prefix.rpartition(".")[2]
    if isinstance(value, dict):
        for key, child in value.items():
            _collect(f"{prefix}.{key}" if prefix else key, child, figures, circumstances)
    elif isinstance(value, list):
        for index, row in enumerate(value):
            if isinstance(row, dict):
                _collect(f"{prefix}[{_label(row) or index}]", row, figures, circumstances)
    elif name in _CIRCUMSTANCES or isinstance(value, str):
        circumstances[prefix] = value
    elif is_finite_number(value) and name not in _TELLING:
        figures[prefix] = float(value)


def _label(row: dict[str, Any]) -> str:
    words = (str(row[key])[:_LONG] for key in _TELLING if row.get(key) is not None)
    return ", ".join(words)
