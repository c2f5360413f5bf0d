"""What is there when in a bag, told by a person, against what the model says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.evaluation.metrics.classification import confusion, figures, reliability
from vi_fusion_ros.evaluation.prediction import Judged, Verdict
from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluation
from vi_fusion_ros.training.datasets.base import Sample
from vi_fusion_ros.types import Mode


@dataclass(frozen=True)
class Interval:
    """A stretch of a bag in which the same labels are present.

    Attributes:
        from_s: seconds from the stamp of the first pair, inclusive.
        to_s: the same, exclusive.
        present: labels that are there; the others of the model are not.
    """

    from_s: float
    to_s: float
    present: frozenset[str]


def read_labels(path: Path) -> list[Interval]:
    """Read ``[{"from_s": 0, "to_s": 3.2, "present": ["person"]}, …]``.

    Raises:
        ValueError: the file is not like that; one sentence.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        intervals = [
            Interval(float(entry["from_s"]), float(entry["to_s"]), frozenset(entry["present"])) for entry in content
        ]
    except OSError as error:
        raise ValueError(f"the labels {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path}: expected a JSON list of {{"from_s": 0, "to_s": 3.2, "present": ["person"]}} ({error!r})'
        ) from error
    for interval in intervals:
        if not interval.from_s < interval.to_s:
            raise ValueError(f"{path}: from_s {interval.from_s} is not before to_s {interval.to_s}")
    return intervals


def judged_against(evaluation: StreamEvaluation, intervals: list[Interval], manifest: Manifest) -> Judged | None:
    """The verdicts on the pairs that lie in an interval; those in none are left out. None where no pair does.

    Raises:
        ValueError: an interval names a label that the model does not have.
    """
    unknown = frozenset[str]().union(*(interval.present for interval in intervals)) - set(manifest.labels)
    if unknown:
        raise ValueError(
            f"--labels: {', '.join(sorted(unknown))} is no label of the model; expected {', '.join(manifest.labels)}"
        )
    samples, verdicts = [], []
    first_ns = min(evaluation.stamps_ns)
    for stamp_ns, probabilities, light in zip(
        evaluation.stamps_ns, evaluation.probabilities, evaluation.illumination, strict=True
    ):
        seconds = (stamp_ns - first_ns) / 1e9
        inside = [interval for interval in intervals if interval.from_s <= seconds < interval.to_s]
        if inside:
            present = frozenset[str]().union(*(interval.present for interval in inside))
            samples.append(Sample(str(stamp_ns), Path(), Path(), present, frozenset(manifest.labels)))
            verdicts.append(Verdict(np.array([probabilities]), light, (0, 0)))
    if not samples:
        return None
    thresholds = manifest.calibration(Mode.BOTH).thresholds[None]
    return Judged("bag", manifest.labels, thresholds, samples, verdicts)


def classification(judged: Judged | None) -> dict[str, Any]:
    """Figures of these verdicts as JSON has them."""
    if judged is None:
        return {"n": 0}
    return {
        **figures(judged, "both", np.ones(len(judged.samples), bool)),
        "confusion": confusion(judged),
        "reliability": reliability(judged.probability("both")[judged.known], judged.present[judged.known]),
    }
