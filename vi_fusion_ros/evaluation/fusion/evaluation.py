"""Metrics of several fusion methods on the same frames: trivial fusions, means with intervals, ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.fusion import METRICS
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_known, bootstrap_means, known_means, places
from vi_fusion_ros.methods.pixelwise import average, maximum

Gray8 = npt.NDArray[np.uint8]

OURS = "vi_fusion"
SOURCES = ("VIS", "IR")
TRIVIAL = (*SOURCES, "AVG", "MAX")
RANKED = tuple(name for name, metric in METRICS.items() if metric.ranked)


@dataclass
class FusionEvaluation:
    """Metrics of several methods on the same frames.

    Attributes:
        methods: names of the methods.
        frames: names of the N frames.
        values: (N, methods, metrics) in the order of ``METRICS``; NaN where a frame has no value.
        problems: sentences about images that were left out.
    """

    methods: tuple[str, ...]
    frames: list[str]
    values: npt.NDArray[np.float64]
    problems: list[str] = field(default_factory=list)

    def mean_rank(self) -> dict[str, float]:
        """Methods are ranked by their mean in each ranked metric, 1 is best; the mean of these ranks.

        VIS and IR are no fusions and a copy of a source saturates several metrics, so they are not ranked: their value
        is the place that they would take.
        """
        return dict(zip(self.methods, self._mean_places(known_means(self.values)).tolist(), strict=True))

    def mean_rank_intervals(self) -> dict[str, tuple[float, float]]:
        """95% bootstrap interval of each method's mean rank: frames are drawn anew, and all methods ranked on them."""
        n, shape = len(self.values), self.values.shape[1:]
        finite = np.where(np.isfinite(self.values), self.values, np.nan)
        low, high = bootstrap_known(
            finite.reshape(n, -1), lambda means: np.stack([self._mean_places(one.reshape(shape)) for one in means])
        ).tolist()
        return dict(zip(self.methods, zip(low, high, strict=True), strict=True))

    def frame_ranks(self, method: str) -> npt.NDArray[np.float64]:
        """(N,) mean rank of ``method`` over the ranked metrics on each frame alone."""
        index = self.methods.index(method)
        return np.array([self._mean_places(frame)[index] for frame in self.values])

    def _mean_places(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        chosen = [list(METRICS).index(name) for name in RANKED]
        contenders = np.array([method not in SOURCES for method in self.methods])
        return places(values[:, chosen], contenders).mean(axis=1)

    def summary(self) -> dict[str, Any]:
        """The result as JSON has it: means with intervals, mean ranks, values by frame and what was left out."""
        n, k = len(self.frames), len(METRICS)
        low, high = bootstrap_means(self.values.reshape(n, -1)).reshape(2, -1, k)
        mean = known_means(self.values)
        methods = {
            method: {
                metric: {"mean": float(mean[m, i]), "ci95": [float(low[m, i]), float(high[m, i])]}
                for i, metric in enumerate(METRICS)
            }
            for m, method in enumerate(self.methods)
        }
        return {
            "n": n,
            "methods": methods,
            "mean_rank": self.mean_rank(),
            "mean_rank_ci95": {method: list(ends) for method, ends in self.mean_rank_intervals().items()},
            "ranked_metrics": list(RANKED),
            "metrics": {
                name: {key: getattr(m, key) for key in ("title", "range", "direction", "source", "convention")}
                for name, m in METRICS.items()
            },
            "partial": bool(self.problems),
            "problems": self.problems,
            "frames": self.frames,
            "per_frame": {
                method: {metric: self.values[:, m, i].tolist() for i, metric in enumerate(METRICS)}
                for m, method in enumerate(self.methods)
            },
        }


def trivial_fusions(visible: Gray8, thermal: Gray8) -> dict[str, Gray8]:
    """What any method has to beat: either source alone, their mean (rounded) and their maximum."""
    return {"VIS": visible, "IR": thermal, "AVG": average(visible, thermal), "MAX": maximum(visible, thermal)}
