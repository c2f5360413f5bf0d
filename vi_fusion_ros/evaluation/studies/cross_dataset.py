"""One model over several datasets in one table, so that it shows where it was fitted too closely to its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, RANKED, TRIVIAL, FusionEvaluation, trivial_fusions
from vi_fusion_ros.evaluation.fusion.folders import FrameImages
from vi_fusion_ros.evaluation.metrics.classification import figures, intervals
from vi_fusion_ros.evaluation.metrics.fusion import metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.model_fusion import fuse_pair, still_engine
from vi_fusion_ros.evaluation.pairs import PairSet, PairView
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.evaluation.prediction import MODALITIES, Judged, Verdict, is_known, judge_pair, judged_of
from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.types import FusionResult

SCORES = ("macro_f1", "accuracy", "roc_auc", "average_precision", "ece")
METHODS = (OURS, *TRIVIAL)


class _Measured(NamedTuple):
    """One pair: (methods, metrics), None for crops; and the classifier's verdict."""

    values: npt.NDArray[np.float64] | None
    verdict: Verdict


@dataclass
class OneDataset:
    """The model on one dataset.

    Attributes:
        pairs: what was evaluated.
        n: pairs that could be.
        fusion: of ``METHODS``; None for crops.
        judged: verdicts on the pairs with a known label; None where there is none.
        problems: sentences about what was left out.
    """

    pairs: PairSet
    n: int
    fusion: FusionEvaluation | None
    judged: Judged | None
    problems: list[str]

    def summary(self) -> dict[str, Any]:
        """The dataset's part of the JSON."""
        return {
            "path": str(self.pairs.root),
            "layout": self.pairs.layout,
            "n": self.n,
            "fusion": self._fusion(),
            "classification": self._classification(),
            "partial": bool(self.problems),
            "problems": self.problems,
        }

    def images(self, name: str, model: Path) -> FrameImages:
        """The images of a pair by the name of its sample."""
        index = next(i for i in self.pairs.indices if self.pairs.open().samples[i].name == name)
        view = PairView(self.pairs, index)
        return _images(view, fuse_pair(model, view.visible, view.thermal))

    def _fusion(self) -> dict[str, Any] | None:
        if self.fusion is None:
            return None
        result = self.fusion.summary()
        mean = result["methods"]
        gain = {metric: _relative(mean[OURS][metric]["mean"], mean["AVG"][metric]["mean"]) for metric in RANKED}
        return {"methods": mean, "mean_rank": result["mean_rank"], "gain_over_average": gain}

    def _classification(self) -> dict[str, Any] | None:
        if self.judged is None:
            return None
        rows = np.ones(len(self.judged.samples), bool)
        modality = {name: figures(self.judged, name, rows) for name in MODALITIES}
        return {**modality["both"], "ci95": intervals(self.judged), "modality": modality}


def evaluate_cross(datasets: dict[str, PairSet], model: Path, jobs: int) -> dict[str, OneDataset]:
    """Fuse and judge every pair of several datasets.

    Args:
        datasets: by name.
        model: the ONNX file.
        jobs: number of processes.

    Raises:
        ValueError: none of a dataset's pairs can be evaluated.
    """
    return {name: _evaluate(name, pairs, model, jobs) for name, pairs in datasets.items()}


def summary(results: dict[str, OneDataset], model: Path) -> dict[str, Any]:
    """The result as JSON has it; docs/evaluation.md says what each key is."""
    by_name = {name: result.summary() for name, result in results.items()}
    fusion: dict[str, dict[str, float]] = {metric: {} for metric in RANKED}
    scores: dict[str, dict[str, float]] = {score: {} for score in SCORES}
    for name, row in by_name.items():
        for metric in RANKED if row["fusion"] else ():
            fusion[metric][name] = row["fusion"]["methods"][OURS][metric]["mean"]
        for score in SCORES if row["classification"] else ():
            if row["classification"][score] is not None:
                scores[score][name] = row["classification"][score]
    return {
        "n": sum(row["n"] for row in by_name.values()),
        "training_data": list(still_engine(model).manifest.training.get("data", [])),
        "datasets": by_name,
        "spread": {
            "fusion": {metric: _spread(values) for metric, values in fusion.items() if values},
            "classification": {score: _spread(values) for score, values in scores.items() if values},
        },
        "partial": any(row["partial"] for row in by_name.values()),
    }


def _evaluate(name: str, pairs: PairSet, model: Path, jobs: int) -> OneDataset:
    dataset = pairs.open()
    rows = map_in_order(partial(_measure, pairs, model), pairs.indices, jobs, name, chunk=16 if pairs.is_crops else 1)
    kept = [(dataset.samples[i], row) for i, row in zip(pairs.indices, rows, strict=True) if not isinstance(row, str)]
    problems = [*map(str, dataset.problems), *(row for row in rows if isinstance(row, str))]
    if not kept:
        raise ValueError(f"{pairs.root}: none of {len(rows)} pairs can be evaluated; the first problem: {problems[0]}")
    values = [row.values for _, row in kept if row.values is not None]
    fusion = FusionEvaluation(METHODS, [s.name for s, _ in kept], np.array(values)) if values else None
    known = [(sample, row.verdict) for sample, row in kept if is_known(sample, model)]
    judged = judged_of(pairs.layout, model, known, []) if known else None
    return OneDataset(pairs, len(kept), fusion, judged, problems)


def _measure(pairs: PairSet, model: Path, index: int) -> _Measured | str:
    try:
        view = PairView(pairs, index)
        verdict, result = judge_pair(model, view.visible, view.thermal)
        if pairs.is_crops:
            return _Measured(None, verdict)
        images = _images(view, result)
        rows = metrics_of_methods(images.fused, images.visible, images.thermal)
        return _Measured(np.array([list(rows[method].values()) for method in METHODS]), verdict)
    except DatasetError as error:
        return str(error)
    except ValueError as error:  # of the pipeline or the metrics, which do not know the file
        return f"{pairs.open().samples[index].visible}: {error}"


def _images(view: PairView, result: FusionResult) -> FrameImages:
    luma = to_gray(view.visible)
    fused = {OURS: to_gray(result.fused.astype(np.uint8, copy=False)), **trivial_fusions(luma, view.thermal)}
    return FrameImages(luma, view.thermal, fused, result)


def _relative(value: float, reference: float) -> float | None:
    return (value - reference) / abs(reference) if reference else None


def _spread(values: dict[str, float]) -> dict[str, Any]:
    """Lowest and highest dataset, and their distance relative to the mean's size."""
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    size = abs(float(np.mean(list(values.values()))))
    return {
        "lowest": low,
        "highest": high,
        "relative": (values[high] - values[low]) / size if size else None,
    }
