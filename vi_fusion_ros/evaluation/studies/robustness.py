"""How much fusion and classification lose when a camera's image is bad, displaced, black, frozen or late.

Each pair is fused clean and under every condition. The metrics compare the fused image with the *clean* sources: what a
perfect fusion of a bad image would still show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED, trivial_fusions
from vi_fusion_ros.evaluation.metrics.classification import figures
from vi_fusion_ros.evaluation.metrics.fusion import metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap
from vi_fusion_ros.evaluation.model_fusion import still_pipeline
from vi_fusion_ros.evaluation.pairs import PairSet, PairView
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.evaluation.prediction import Judged, Verdict, is_known, judged_of
from vi_fusion_ros.evaluation.studies.corruptions import CORRUPTIONS, SEVERITIES, Image8, displaced, generator
from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.types import Frame, FramePair, FusionResult, Mode

MISALIGNMENT_PX = (2, 4, 8, 16)
LATE_FRAMES = (1, 2, 4, 8, 16)
CAMERAS = ("visible", "thermal")
METHODS = (OURS, "AVG", "MAX")
SCORES = ("macro_f1", "accuracy", "roc_auc", "average_precision")


class Condition(NamedTuple):
    """What is wrong.

    Attributes:
        name: key in results.
        level: severity, pixels or frames; 0 where there is only one.
        what: unit or meaning of the level.
        strength: the figure behind a severity, else the level.
    """

    name: str
    level: int = 0
    what: str = ""
    strength: float = 0.0

    @property
    def key(self) -> str:
        """Unique text."""
        return f"{self.name}/{self.level}"

    @property
    def mode(self) -> Mode:
        """The cameras that the pipeline has; one whose image is black, frozen or late is there."""
        return {"visible_missing": Mode.THERMAL_ONLY, "thermal_missing": Mode.VISIBLE_ONLY}.get(self.name, Mode.BOTH)


CLEAN = Condition("clean")


class Measured(NamedTuple):
    """One pair under C conditions.

    Attributes:
        values: (C, methods, ranked metrics); None where the images are crops of objects.
        verdict: of the classifier, conditions in rows.
    """

    values: npt.NDArray[np.float64] | None
    verdict: Verdict


@dataclass
class Robustness:
    """N pairs under C conditions, the first of which is clean.

    Attributes:
        pairs: what was evaluated.
        seed: of the random numbers.
        conditions: C of them.
        frames: names of the pairs.
        values: (N, C, methods, ranked metrics); None for crops.
        judged: verdicts of the pairs with a known label; None where there is none.
        problems: sentences about pairs that were left out.
    """

    pairs: PairSet
    seed: int
    conditions: list[Condition]
    frames: list[str]
    values: npt.NDArray[np.float64] | None
    judged: Judged | None
    problems: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The result as JSON has it; docs/evaluation.md says what each key is."""
        fusion = self._fusion()
        classification = self._classification()
        conditions: dict[str, Any] = {}
        for row, condition in enumerate(self.conditions[1:], 1):
            entry = conditions.setdefault(condition.name, {"what": condition.what, "levels": {}})
            entry["levels"][str(condition.level)] = {
                "strength": condition.strength,
                "fusion": fusion[row] if fusion else None,
                "classification": classification[row] if classification else None,
            }
        return {
            "n": len(self.frames),
            "layout": self.pairs.layout,
            "seed": self.seed,
            "methods": list(METHODS),
            "fusion_metrics": list(RANKED),
            "clean": {
                "fusion": fusion[0] if fusion else None,
                "classification": classification[0] if classification else None,
            },
            "conditions": conditions,
            "partial": bool(self.problems),
            "problems": self.problems,
        }

    def _fusion(self) -> list[dict[str, Any]] | None:
        """By condition, method and metric: mean, relative drop and its interval."""
        if self.values is None:
            return None
        n, c, m, k = self.values.shape
        mean = self.values.mean(axis=0)
        drop = _drop(mean)
        ends = bootstrap(self.values.reshape(n, -1), lambda means: _flat_drop(means.reshape(-1, c, m, k)))
        low, high = ends.reshape(2, c, m, k)
        return [
            {
                method: {
                    metric: {
                        "mean": float(mean[row, column, i]),
                        "drop": float(drop[row, column, i]),
                        "drop_ci95": [float(low[row, column, i]), float(high[row, column, i])],
                    }
                    for i, metric in enumerate(RANKED)
                }
                for column, method in enumerate(METHODS)
            }
            for row in range(c)
        ]

    def _classification(self) -> list[dict[str, Any]] | None:
        if self.judged is None:
            return None
        rows = np.ones(len(self.judged.samples), bool)
        found = [figures(self.judged, condition.key, rows) for condition in self.conditions]
        result = []
        for values in found:
            scores = {name: _score(values[name], found[0][name]) for name in SCORES}
            result.append({"n": values["n"], **scores, "ece": values["ece"]})
        return result


def evaluate_robustness(pairs: PairSet, model: Path, jobs: int, seed: int) -> Robustness:
    """Fuse and judge every pair under every condition.

    Args:
        pairs: of one dataset.
        model: the ONNX file.
        jobs: number of processes.
        seed: of the random numbers.

    Raises:
        ValueError: no pair can be evaluated.
    """
    dataset = pairs.open()
    conditions = list(all_conditions(pairs.is_crops))
    measure = partial(_measure, pairs, model, conditions, seed)
    rows = map_in_order(measure, pairs.indices, jobs, "robustness", chunk=16 if pairs.is_crops else 1)
    kept = [(i, row) for i, row in zip(pairs.indices, rows, strict=True) if isinstance(row, Measured)]
    problems = [*map(str, dataset.problems), *(row for row in rows if isinstance(row, str))]
    if not kept:
        raise ValueError(
            f"{pairs.root}: none of the {len(rows)} pairs can be evaluated; the first problem: {problems[0]}"
        )
    values = [row.values for _, row in kept if row.values is not None]
    return Robustness(
        pairs,
        seed,
        conditions,
        [dataset.samples[i].name for i, _ in kept],
        np.array(values) if values else None,
        _judged(pairs, model, conditions, kept),
        problems,
    )


def mean_drops(result: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Relative drops by condition, mean over its levels, of a ``summary``: our ranked metrics, then the scores."""
    rows: dict[str, dict[str, float | None]] = {}
    for name, entry in result["conditions"].items():
        levels = list(entry["levels"].values())
        row: dict[str, float | None] = {}
        if levels[0]["fusion"]:
            row |= {metric: _mean([level["fusion"][OURS][metric]["drop"] for level in levels]) for metric in RANKED}
        if levels[0]["classification"]:
            row |= {score: _mean([level["classification"][score]["drop"] for level in levels]) for score in SCORES[:3]}
        rows[name] = row
    return rows


def all_conditions(crops: bool) -> Iterator[Condition]:
    """Clean first. Crops of objects follow no other, so that nothing of them can be frozen or late."""
    yield CLEAN
    for name, corruption in CORRUPTIONS.items():
        for severity in range(1, SEVERITIES + 1):
            yield Condition(name, severity, corruption.what, corruption.strengths[severity - 1])
    for distance in MISALIGNMENT_PX:
        yield Condition("misalignment", distance, "pixels between the images", distance)
    for camera in CAMERAS:
        yield Condition(f"{camera}_black", what="black images that nobody has noticed")
        yield Condition(f"{camera}_missing", what="no image: the pipeline knows, as in its degraded mode")
        if not crops:
            yield Condition(f"{camera}_frozen", what="the first image of the sequence throughout")
            for frames in LATE_FRAMES:
                yield Condition(f"{camera}_late", frames, "frames of the sequence", frames)


def corrupted(view: PairView, condition: Condition, seed: int) -> tuple[Image8 | None, Image8 | None]:
    """Visible and thermal image of a pair under a condition; None where a camera is known to be missing."""
    images = {"visible": view.visible, "thermal": view.thermal}
    camera, _, fault = condition.name.partition("_")
    rng = generator(seed, view.name, condition.key)
    if condition.name in CORRUPTIONS:
        images[camera] = CORRUPTIONS[condition.name](images[camera], condition.level, rng)
    elif condition.name == "misalignment":
        images["thermal"] = displaced(view.thermal, condition.level, rng)
    elif fault == "black":
        images[camera] = np.zeros_like(images[camera])
    elif fault in ("frozen", "late"):
        images[camera] = view.earlier(camera, condition.level if fault == "late" else None)
    missing = camera if fault == "missing" else None
    visible, thermal = (None if name == missing else image for name, image in images.items())
    return visible, thermal


def fused_under(view: PairView, condition: Condition, seed: int, model: Path) -> tuple[FusionResult, dict[str, Image8]]:
    """Our result, and each of ``METHODS``' grey images, of a pair under a condition."""
    visible, thermal = corrupted(view, condition, seed)
    pipeline = still_pipeline(model)
    pipeline.reset()
    left, right = (None if image is None else Frame(image) for image in (visible, thermal))
    result = pipeline.process(FramePair(left, right))
    luma = np.zeros_like(view.thermal) if visible is None else to_gray(visible)
    trivial = trivial_fusions(luma, np.zeros_like(luma) if thermal is None else thermal)
    return result, {OURS: to_gray(result.fused.astype(np.uint8, copy=False)), **{m: trivial[m] for m in METHODS[1:]}}


def _measure(pairs: PairSet, model: Path, conditions: Sequence[Condition], seed: int, index: int) -> Measured | str:
    try:
        view = PairView(pairs, index)
        found = [fused_under(view, condition, seed, model) for condition in conditions]
        verdict = Verdict(
            np.array([[score.probability for score in result.scores] for result, _ in found]),
            found[0][0].illumination,
            (view.thermal.shape[1], view.thermal.shape[0]),
        )
        if pairs.is_crops:
            return Measured(None, verdict)
        images = {f"{i} {method}": image for i, (_, fused) in enumerate(found) for method, image in fused.items()}
        rows = metrics_of_methods(images, to_gray(view.visible), view.thermal, RANKED)
        values = np.array([list(row.values()) for row in rows.values()])
        return Measured(values.reshape(len(conditions), len(METHODS), len(RANKED)), verdict)
    except DatasetError as error:
        return str(error)
    except ValueError as error:  # of the pipeline or the metrics, which do not know the file
        return f"{pairs.open().samples[index].visible}: {error}"


def _judged(
    pairs: PairSet, model: Path, conditions: list[Condition], kept: list[tuple[int, Measured]]
) -> Judged | None:
    samples = pairs.open().samples
    known = [(samples[i], row.verdict) for i, row in kept if is_known(samples[i], model)]
    return judged_of(pairs.layout, model, known, [], {c.key: c.mode for c in conditions}) if known else None


def _drop(mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Relative drop of (..., C, methods, metrics) from condition 0; NaN where that is 0."""
    clean = mean[..., :1, :, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = (clean - mean) / np.abs(clean)
    return np.where(np.isfinite(drop), drop, np.nan)


def _flat_drop(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return _drop(means).reshape(len(means), -1)


def _score(value: float | None, clean: float | None) -> dict[str, float | None]:
    drop = (clean - value) / clean if clean and value is not None else None
    return {"value": value, "drop": drop}


def _mean(values: list[float | None]) -> float | None:
    return None if any(value is None for value in values) else float(np.mean(np.array(values, float)))
