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
from vi_fusion_ros.evaluation.metrics.detection import require_pycocotools
from vi_fusion_ros.evaluation.metrics.fusion import metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.model_fusion import finds_objects, fuse_pair, still_engine
from vi_fusion_ros.evaluation.pairs import PairSet, PairView
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.evaluation.prediction import MODALITIES, Judged, Verdict, is_known, judge_pair, judged_of
from vi_fusion_ros.evaluation.studies.detection import detection_of, is_boxed
from vi_fusion_ros.evaluation.studies.presence import presence_of
from vi_fusion_ros.training.datasets.base import DatasetError, Sample
from vi_fusion_ros.types import FusionResult

SCORES = ("macro_f1", "accuracy", "roc_auc", "average_precision", "ece")
PRESENCE = ("recall", "false_alarm_rate", "recall_at_5", "recall_at_10")
DETECTION = ("ap50", "ap", "log_average_miss_rate")
METHODS = (OURS, *TRIVIAL)


class _Measured(NamedTuple):
    """One pair: (methods, metrics), None for crops and images of one camera; and what the model says."""

    values: npt.NDArray[np.float64] | None
    verdict: Verdict


@dataclass
class OneDataset:
    """The model on one dataset.

    Attributes:
        pairs: what was evaluated.
        n: pairs that could be.
        fusion: of ``METHODS``; None for crops and images of one camera.
        judged: verdicts on the pairs with a known label, one camera alone among them; None where there is none.
        boxed: those of them whose objects have boxes; None where there is none, or the model gives none.
        problems: sentences about what was left out.
    """

    pairs: PairSet
    n: int
    fusion: FusionEvaluation | None
    judged: Judged | None
    boxed: Judged | None
    problems: list[str]

    def summary(self) -> dict[str, Any]:
        """The dataset's part of the JSON."""
        return {
            "path": str(self.pairs.root),
            "layout": self.pairs.layout,
            "n": self.n,
            "fusion": self._fusion(),
            "classification": self._classification(),
            "presence": presence_of(self.judged) if self.judged and not self.pairs.is_crops else None,
            "detection": detection_of(self.boxed) if self.boxed else None,
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
        if not modality["both"]["n"]:
            return None
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
    told: dict[str, dict[str, float]] = {key: {} for key in (*PRESENCE, *DETECTION)}
    for name, row in by_name.items():
        for metric in RANKED if row["fusion"] else ():
            fusion[metric][name] = row["fusion"]["methods"][OURS][metric]["mean"]
        for score in SCORES if row["classification"] else ():
            if row["classification"][score] is not None:
                scores[score][name] = row["classification"][score]
        for key, value in means_of(row).items():
            if value is not None:
                told[key][name] = value
    return {
        "n": sum(row["n"] for row in by_name.values()),
        "training_data": list(still_engine(model).manifest.training.get("data", [])),
        "datasets": by_name,
        "spread": {
            "fusion": {metric: _spread(values) for metric, values in fusion.items() if values},
            "classification": {score: _spread(values) for score, values in scores.items() if values},
            "presence": {key: _spread(told[key]) for key in PRESENCE if told[key]},
            "detection": {key: _spread(told[key]) for key in DETECTION if told[key]},
        },
        "partial": any(row["partial"] for row in by_name.values()),
    }


def means_of(row: dict[str, Any], condition: str = "both") -> dict[str, float | None]:
    """``PRESENCE`` and ``DETECTION`` of one dataset's part of the JSON, means over the labels; None where undefined."""
    presence, detection = (
        row[kind]["conditions"][condition] if row[kind] else {} for kind in ("presence", "detection")
    )
    found = {key: presence.get("mean", {}).get(key) for key in PRESENCE}
    return {**found, **{key: detection.get(key) for key in DETECTION}}


def _evaluate(name: str, pairs: PairSet, model: Path, jobs: int) -> OneDataset:
    dataset = pairs.open()
    rows = map_in_order(partial(_measure, pairs, model), pairs.indices, jobs, name, chunk=16 if pairs.is_crops else 1)
    kept = [(dataset.samples[i], row) for i, row in zip(pairs.indices, rows, strict=True) if not isinstance(row, str)]
    problems = [*map(str, dataset.problems), *(row for row in rows if isinstance(row, str))]
    if not kept:
        raise ValueError(f"{pairs.root}: none of {len(rows)} pairs can be evaluated; the first problem: {problems[0]}")
    fused = [(sample.name, row.values) for sample, row in kept if row.values is not None]
    fusion = FusionEvaluation(METHODS, [n for n, _ in fused], np.array([v for _, v in fused])) if fused else None
    known = [(sample, row.verdict) for sample, row in kept if is_known(sample, model)]
    judged = judged_of(pairs.layout, model, known, []) if known else None
    try:
        boxed = _boxed(pairs.layout, model, known)
    except ValueError as error:
        boxed, problems = None, [*problems, str(error)]
    return OneDataset(pairs, len(kept), fusion, judged, boxed, problems)


def _boxed(layout: str, model: Path, known: list[tuple[Sample, Verdict]]) -> Judged | None:
    labels = frozenset(still_engine(model).manifest.labels)
    boxed = [(sample, verdict) for sample, verdict in known if is_boxed(sample, labels)]
    if not finds_objects(model) or not any(box.label in labels for sample, _ in boxed for box in sample.boxes):
        return None
    require_pycocotools()
    return judged_of(layout, model, boxed, [])


def _measure(pairs: PairSet, model: Path, index: int) -> _Measured | str:
    try:
        view = PairView(pairs, index)
        camera = pairs.open().samples[index].camera
        verdict, result = judge_pair(model, view.visible, view.thermal, camera=camera)
        if pairs.is_crops or camera != "both":
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
