"""The leaderboard of VIFB: its thirteen metrics of methods on pairs of images, ours beside published values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.evaluation import OURS
from vi_fusion_ros.evaluation.fusion.folders import FrameFiles, check_size, evaluated_frames, read_8bit
from vi_fusion_ros.evaluation.metrics.fusion import to_gray
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_means, places
from vi_fusion_ros.evaluation.metrics.vifb import VIFB, Rgb, vifb_metrics
from vi_fusion_ros.evaluation.model_fusion import fuse_pair
from vi_fusion_ros.methods.engine import MethodEngine
from vi_fusion_ros.methods.registry import method
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.types import Frame, FramePair

Published = dict[str, dict[str, dict[str, float]]]
"""Values by method, metric (``VifbMetric.key``) and image."""


@dataclass
class Leaderboard:
    """Values of several methods on the same images.

    Attributes:
        methods: names of the M methods.
        frames: names of the N images.
        values: (N, M, 13) in the order of ``VIFB``.
        problems: sentences about images that were left out.
    """

    methods: tuple[str, ...]
    frames: list[str]
    values: npt.NDArray[np.float64]
    problems: list[str] = field(default_factory=list)

    def mean_rank(self) -> dict[str, float]:
        """By their mean in each metric the methods are ranked, 1 is best; the mean of these ranks over the metrics."""
        signs = np.array([1 if metric.higher else -1 for metric in VIFB.values()])
        ranks = places(signs * self.values.mean(0), np.ones(len(self.methods), bool)).mean(1)
        return dict(zip(self.methods, ranks.tolist(), strict=True))

    def with_published(self, published: Published, path: Path) -> Leaderboard:
        """The same with more methods, whose values are given.

        Raises:
            ValueError: a method's name is taken, or it has no value for one of the images; one sentence.
        """
        columns = []
        for name, by_metric in published.items():
            if name in self.methods:
                raise ValueError(f"{path}: the method {name} is evaluated already; expected other names")
            try:
                rows = [[by_metric[metric.key][frame] for metric in VIFB.values()] for frame in self.frames]
            except KeyError as error:
                raise ValueError(
                    f"{path}: method {name} has no value of {error}; expected one a metric and image"
                ) from (error)
            columns.append(rows)
        values = np.concatenate([self.values, np.array(columns).transpose(1, 0, 2)], axis=1)
        return Leaderboard((*self.methods, *published), self.frames, values, self.problems)

    def summary(self) -> dict[str, Any]:
        """The result as JSON has it: means with intervals, mean ranks, values by image and what was left out."""
        count = len(self.frames)
        low, high = bootstrap_means(self.values.reshape(count, -1)).reshape(2, -1, len(VIFB))
        mean = self.values.mean(0)
        return {
            "protocol": "vifb",
            "n": count,
            "methods": {
                name: {
                    metric: {"mean": float(mean[m, i]), "ci95": [float(low[m, i]), float(high[m, i])]}
                    for i, metric in enumerate(VIFB)
                }
                for m, name in enumerate(self.methods)
            },
            "mean_rank": self.mean_rank(),
            "metrics": {
                name: {"key": m.key, "direction": "higher" if m.higher else "lower"} for name, m in VIFB.items()
            },
            "partial": bool(self.problems),
            "problems": self.problems,
            "frames": self.frames,
            "per_frame": {
                name: {metric: self.values[:, m, i].tolist() for i, metric in enumerate(VIFB)}
                for m, name in enumerate(self.methods)
            },
        }


def read_published(path: Path) -> Published:
    """Read the benchmark's values from a JSON file of objects: method, metric, image.

    Raises:
        ValueError: it cannot be read, lacks a metric, or holds something that is no number; one sentence with the path.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no JSON ({error}); expected an object of methods, metrics and images") from error
    if not isinstance(tree, dict) or not tree or not all(isinstance(by_metric, dict) for by_metric in tree.values()):
        raise ValueError(f"{path}: expected an object of methods, each an object of metrics and images")
    for name, by_metric in tree.items():
        for key in (metric.key for metric in VIFB.values()):
            values = by_metric.get(key)
            if not isinstance(values, dict):
                raise ValueError(f"{path}: method {name} has no metric {key}; expected values by image")  # noqa: TRY004
            wrong = [k for k, v in values.items() if not isinstance(v, (int, float)) or not math.isfinite(v)]
            if wrong:
                raise ValueError(f"{path}: method {name}, {key}, image {wrong[0]}: expected a finite number")
    return {name: dict(by_metric) for name, by_metric in tree.items()}


def evaluate_vifb(
    frames: list[FrameFiles], model: Path | None, jobs: int, problems: list[str] | None = None
) -> Leaderboard:
    """Every metric of our model, of methods and of others' images, in colour.

    Args:
        frames: as ``find_frames`` gives them.
        model: ONNX file of our model, or None.
        jobs: number of processes.
        problems: sentences about what was left out so far.

    Raises:
        ValueError: no frame can be evaluated.
    """
    names, rows, left_out = evaluated_frames(partial(_evaluate, model=model), frames, jobs, problems)
    methods = tuple(rows[0])
    if not methods:
        raise ValueError("nothing is to be evaluated; expected --fused or --methods")
    values = np.array([[list(row[name].values()) for name in methods] for row in rows])
    return Leaderboard(methods, names, values, left_out)


def _evaluate(frame: FrameFiles, model: Path | None) -> dict[str, dict[str, float]] | str:
    try:
        visible, thermal = read_8bit(frame.visible), read_8bit(frame.thermal)
        check_size(frame.thermal, to_gray(thermal), to_gray(visible))
        values = {}
        for name, image in _fused(frame, visible, thermal, model).items():
            values[name] = vifb_metrics(_rgb(image), _rgb(visible), _rgb(thermal))
    except DatasetError as error:
        return str(error)
    except ValueError as error:  # of the metrics and methods, which do not know the file
        return f"{frame.visible}: {error}"
    return values


def _fused(frame: FrameFiles, visible: Rgb, thermal: Rgb, model: Path | None) -> Mapping[str, Rgb]:
    grey = to_gray(thermal)
    fused: dict[str, Rgb] = {}
    if model is not None:
        fused[OURS] = fuse_pair(model, visible, grey).fused.astype(np.uint8, copy=False)
    for name, weights in frame.methods.items():
        entry = method(name) if weights is None else method(name).with_weights(weights)
        pipeline = build_pipeline(MethodEngine(entry))  # which puts the visible colour back
        fused[name] = pipeline.process(FramePair(Frame(visible), Frame(grey))).fused.astype(np.uint8, copy=False)
    for name, path in frame.fused.items():
        fused[name] = read_8bit(path)
        check_size(path, to_gray(fused[name]), to_gray(visible))
    return fused


def _rgb(image: Rgb) -> Rgb:
    return image[..., ::-1] if image.ndim == 3 else image
