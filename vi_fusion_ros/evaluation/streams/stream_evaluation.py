"""Fuse a stream of pairs and gather what can be said of it: the same for a bag and for live topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.drawing import mosaic_row
from vi_fusion_ros.evaluation.fusion.evaluation import OURS, TRIVIAL, FusionEvaluation, trivial_fusions
from vi_fusion_ros.evaluation.kept_values import KeptValues
from vi_fusion_ros.evaluation.metrics.fusion import MIN_SIZE, metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.objects import as_json
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.sync.pair_stream import DecodedPair, PairStream
from vi_fusion_ros.sync.pairing import Drop
from vi_fusion_ros.types import FusionResult, Image

METRIC_PAIRS = 30
"""Pairs, evenly spread, on which fusion metrics are computed: they take ten times as long as fusing. From this to twice
as many."""

STAGES = ("decode", "register", "infer", "compose", "total")
_MOSAIC_WIDTH = 1240


class PairSample(NamedTuple):
    """One pair for the fusion metrics, (H, W) or (H, W, 3) BGR, uint8, cut to where both cameras see.

    It is made grey only when it is measured, which most never are in a long stream.

    Attributes:
        number: of the pair in the stream, from 0.
        name: stamp, nanoseconds.
        visible: as it came.
        thermal: registered and tone mapped as the network saw it.
        fused: our result.
        mosaic: what a person looks at, (h, w, 3) uint8; None where no pictures were asked for.
    """

    number: int
    name: str
    visible: Image
    thermal: Image
    fused: Image
    mosaic: Image | None


@dataclass
class StreamEvaluation:
    """What came of a stream, one row a pair.

    Attributes:
        labels: of the model, in order.
        stamps_ns: visible stamps.
        skews_ns: thermal minus visible.
        sync_waits_ms: of the first frame for the second, in the bag's time.
        probabilities: (N, labels).
        present: (N, labels).
        objects: of each pair, as ``vi_fusion_ros.objects.as_json`` has them.
        illumination: most probable class.
        attention: mean thermal share.
        overlap: share of the visible image that the thermal camera sees.
        latency_ms: by stage.
        wall_s: from the first to the last pair, fusing included.
        pairs: how many there were; of every ``every``-th there is a row, evenly spread.
        every: 1, doubled whenever there are ``most_rows``.
        most_rows: bounds the memory of a stream that does not end; None: every pair has its row.
        samples: pairs for the fusion metrics.
        unmeasurable: pairs that would have been samples, by why the fusion metrics cannot be computed on them.
        measured: the metrics of samples, (methods, metrics), by number of the pair.
    """

    labels: tuple[str, ...]
    stamps_ns: list[int] = field(default_factory=list)
    skews_ns: list[int] = field(default_factory=list)
    sync_waits_ms: list[float] = field(default_factory=list)
    probabilities: list[list[float]] = field(default_factory=list)
    present: list[list[bool]] = field(default_factory=list)
    objects: list[list[dict[str, Any]]] = field(default_factory=list)
    illumination: list[str] = field(default_factory=list)
    attention: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)
    latency_ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    wall_s: float = 0.0
    pairs: int = 0
    every: int = 1
    most_rows: int | None = None
    samples: list[PairSample] = field(default_factory=list)
    unmeasurable: Counter[str] = field(default_factory=Counter)
    measured: dict[int, list[list[float]]] = field(default_factory=dict)

    def add(self, decoded: DecodedPair, result: FusionResult) -> None:
        """Take the result of the next pair."""
        self.pairs += 1
        if (self.pairs - 1) % self.every:
            return
        self.stamps_ns.append(decoded.pair.reference.stamp_ns)
        self.skews_ns.append(decoded.pair.skew_ns)
        self.sync_waits_ms.append(decoded.sync_wait_ms)
        self.probabilities.append([score.probability for score in result.scores])
        self.present.append([score.present for score in result.scores])
        self.objects.append([as_json(found) for found in result.objects])
        self.illumination.append(result.illumination)
        self.attention.append(result.thermal_attention)
        self.overlap.append(result.overlap)
        stages = {"decode": decoded.decode_ms, **result.timings_ms}
        for stage in STAGES:
            self.latency_ms[stage].append(stages.get(stage, sum(stages.values())))
        if self.most_rows is not None and len(self.stamps_ns) >= self.most_rows:
            self._thin()

    def _thin(self) -> None:
        """Let go of every second row."""
        columns: list[list[Any]] = [
            self.stamps_ns, self.skews_ns, self.sync_waits_ms, self.probabilities, self.present, self.objects,
            self.illumination, self.attention, self.overlap, *self.latency_ms.values(),
        ]  # fmt: skip
        for column in columns:
            del column[1::2]
        self.every *= 2


class StreamEvaluator:
    """Fuses pairs one after the other and gathers what comes of them.

    Args:
        pipeline: as the node runs it.
        labels: of its model.
        pictures: whether the samples get a mosaic, for a report.
        most_rows: see ``StreamEvaluation``.

    Attributes:
        evaluation: of the pairs so far.
    """

    def __init__(
        self, pipeline: FusionPipeline, labels: tuple[str, ...], pictures: bool, most_rows: int | None = None
    ) -> None:
        self.evaluation = StreamEvaluation(labels, most_rows=most_rows)
        self._pipeline, self._pictures = pipeline, pictures
        self._resets_seen = 0
        self._stride = 1
        pipeline.reset()

    def take(self, decoded: DecodedPair) -> FusionResult:
        """Fuse the next pair.

        Raises:
            ValueError: it cannot be fused; it then leaves no trace.
        """
        if decoded.time_resets != self._resets_seen:  # a recording that loops: nothing of before may smooth this
            self._resets_seen = decoded.time_resets
            self._pipeline.reset()
        result = self._pipeline.process(decoded.pair)
        self.evaluation.add(decoded, result)
        self._keep_sample(result)
        return result

    def memory(self) -> dict[str, Any]:
        """What another evaluator needs to go on where this one is, but for the samples: plain values and arrays."""
        kept = {field.name: getattr(self.evaluation, field.name) for field in fields(self.evaluation)}
        del kept["samples"]
        own = {"resets": self._resets_seen, "stride": self._stride}
        return {"evaluation": kept, "own": own, "pipeline": self._pipeline.memory()}

    def recall(self, memory: Mapping[str, Any], samples: list[PairSample]) -> None:
        """Go on where the evaluator with this ``memory`` and these samples is."""
        self.evaluation = StreamEvaluation(**memory["evaluation"], samples=samples)
        self._resets_seen, self._stride = memory["own"]["resets"], memory["own"]["stride"]
        self._pipeline.recall(memory["pipeline"])

    def _keep_sample(self, result: FusionResult) -> None:
        """Keep every n-th pair, n doubling with the stream, whose length nobody knows beforehand."""
        number, samples = self.evaluation.pairs - 1, self.evaluation.samples
        if number % self._stride:
            return
        try:
            samples.append(_sample(number, result, self._pictures))
        except _UnmeasurableError as error:
            self.evaluation.unmeasurable[str(error)] += 1
        if len(samples) == 2 * METRIC_PAIRS:
            self._stride *= 2
            samples[:] = [kept for kept in samples if kept.number % self._stride == 0]


def measure_one(evaluation: StreamEvaluation) -> bool:
    """Compute the fusion metrics of one sample that has none yet; whether there was one."""
    sample = next((s for s in evaluation.samples if s.number not in evaluation.measured), None)
    if sample is None:
        return False
    evaluation.measured[sample.number] = _metrics(sample)
    return True


def fusion_of(evaluation: StreamEvaluation, jobs: int, kept: KeptValues | None = None) -> FusionEvaluation | None:
    """Fusion metrics on the evaluation's samples; None where there is none.

    Args:
        evaluation: with none of them measured, where values are ``kept``.
        jobs: number of processes.
        kept: takes the metrics one by one, and holds those of an earlier call.
    """
    if not evaluation.samples:
        return None
    missing = [sample for sample in evaluation.samples if sample.number not in evaluation.measured]
    values = map_in_order(_metrics, missing, jobs, "fusion metrics", kept=kept)
    evaluation.measured |= {sample.number: row for sample, row in zip(missing, values, strict=True)}
    return fusion_so_far(evaluation)


def fusion_so_far(evaluation: StreamEvaluation) -> FusionEvaluation | None:
    """Fusion metrics on the samples that have been measured; None where there is none."""
    samples = [sample for sample in evaluation.samples if sample.number in evaluation.measured]
    if not samples:
        return None
    values = np.array([evaluation.measured[sample.number] for sample in samples])
    return FusionEvaluation((OURS, *TRIVIAL), [sample.name for sample in samples], values)


def summary(
    pair_stream: PairStream, evaluation: StreamEvaluation, fusion: FusionEvaluation | None, broken: str | None = None
) -> dict[str, Any]:
    """The result as JSON has it; docs/evaluation.md says what each key is. All timings are under ``timings``.

    Args:
        pair_stream: the account of the messages.
        evaluation: of at least one pair.
        fusion: metrics on its samples.
        broken: why the source ended before its end.
    """
    problems = [*_out_of_order(pair_stream), *pair_stream.problems]
    if broken:
        problems.insert(0, f"the bag is broken and was evaluated up to the break: {broken}")
    return {
        "n": evaluation.pairs,
        "partial": bool(problems),
        "broken": broken,
        "problems": problems,
        "pairing": _pairing(pair_stream, evaluation),
        "labels": {label: _label(evaluation, k) for k, label in enumerate(evaluation.labels)},
        "illumination": {name: evaluation.illumination.count(name) for name in sorted(set(evaluation.illumination))},
        "thermal_attention": {"mean": float(np.mean(evaluation.attention))},
        "overlap": {"mean": float(np.mean(evaluation.overlap))},
        "fusion": _fusion(fusion, evaluation.unmeasurable),
        "timeline": {
            "every": evaluation.every,
            "stamp_ns": evaluation.stamps_ns,
            "skew_ms": [skew / 1e6 for skew in evaluation.skews_ns],
            "illumination": evaluation.illumination,
            "thermal_attention": evaluation.attention,
            "probability": {
                label: [row[k] for row in evaluation.probabilities] for k, label in enumerate(evaluation.labels)
            },
            "objects": evaluation.objects,
        },
        "timings": _timings(evaluation),
    }


class _UnmeasurableError(ValueError):
    """The fusion metrics say nothing about a pair; the text is a clause that says why, the same for all such pairs."""


def _sample(number: int, result: FusionResult, picture: bool) -> PairSample:
    visible, thermal, mask = result.pair.visible, result.thermal_grey, result.mask
    assert visible is not None  # streams hold pairs of both cameras
    assert thermal is not None
    assert mask is not None
    left, top, width, height = cv2.boundingRect(mask)
    if min(width, height) < MIN_SIZE:
        raise _UnmeasurableError(
            f"both cameras see {width}x{height} pixels in common; expected {MIN_SIZE}x{MIN_SIZE} or more"
        )
    if visible.image.dtype != np.uint8:
        raise _UnmeasurableError(f"visible images of {visible.image.dtype.name}; expected 8 bits")
    part = np.s_[top : top + height, left : left + width]
    # Copies: what came from a bag may be a view that keeps a whole chunk of it in memory.
    images = (visible.image[part].copy(), thermal[part].copy(), result.fused[part])
    return PairSample(number, str(visible.stamp_ns), *images, _mosaic(result) if picture else None)


def _mosaic(result: FusionResult) -> Image:
    row = mosaic_row(result)
    size = _MOSAIC_WIDTH, round(row.shape[0] * _MOSAIC_WIDTH / row.shape[1])
    return cv2.resize(row, size, interpolation=cv2.INTER_AREA)


def _metrics(sample: PairSample) -> list[list[float]]:
    visible, thermal, fused = (to_gray(np.asarray(image, np.uint8)) for image in sample[2:5])
    fusions = {OURS: fused, **trivial_fusions(visible, thermal)}
    values = metrics_of_methods(fusions, visible, thermal)
    return [list(row.values()) for row in values.values()]


def _out_of_order(pair_stream: PairStream) -> list[str]:
    """A sentence where images were lost because stamps do not rise."""
    lost = sum(pair_stream.pairing.drops.get(drop, 0) for drop in (Drop.late, Drop.time_reset))
    steps = sum(track.steps_back for track in pair_stream.stamps.values())
    if not steps and pair_stream.recorded_steps_back:  # a bag, whose images come in the order of their stamps
        steps = pair_stream.recorded_steps_back
        lost = sum(count for drop, count in pair_stream.pairing.drops.items() if drop is not Drop.superseded)
        return [f"the stamps step back {steps} times; {lost} images have no partner"] if lost else []
    if not (lost and steps):
        return []
    return [f"the stamps step back {steps} times; {lost} images came too late to be paired or were held at a jump back"]


def _pairing(pair_stream: PairStream, evaluation: StreamEvaluation) -> dict[str, Any]:
    skews = np.array(evaluation.skews_ns) / 1e6
    counts, edges = np.histogram(skews, bins=np.linspace(-40, 40, 41))
    return {
        "visible_received": pair_stream.received["visible"],
        "thermal_received": pair_stream.received["thermal"],
        "visible_rate_hz": pair_stream.stamps["visible"].rate_hz,
        "thermal_rate_hz": pair_stream.stamps["thermal"].rate_hz,
        "pairs": pair_stream.pairing.pairs,
        "drops": {drop.value: count for drop, count in pair_stream.pairing.drops.items()},
        "invalid": dict(sorted(pair_stream.invalid.items())),
        "time_resets": pair_stream.pairing.time_resets,
        "steps_back": {camera: track.steps_back for camera, track in pair_stream.stamps.items()},
        "mean_skew_ms": float(skews.mean()),
        "mean_abs_skew_ms": float(np.abs(skews).mean()),
        "max_abs_skew_ms": float(np.abs(skews).max()),
        "skew_histogram": {"edges_ms": edges.tolist(), "counts": counts.tolist()},
        "sync_wait_ms": percentiles(evaluation.sync_waits_ms),
    }


def _label(evaluation: StreamEvaluation, k: int) -> dict[str, Any]:
    present = np.array([row[k] for row in evaluation.present])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], present, [False]]).astype(int)))
    return {
        "present_pairs": int(present.sum()),
        "present_share": float(present.mean()),
        "mean_probability": float(np.mean([row[k] for row in evaluation.probabilities])),
        "present_stamps_ns": [
            [evaluation.stamps_ns[first], evaluation.stamps_ns[end - 1]] for first, end in edges.reshape(-1, 2).tolist()
        ],
    }


def _fusion(fusion: FusionEvaluation | None, left_out: Counter[str]) -> dict[str, Any]:
    about = {"left_out": dict(left_out)} if left_out else {}
    if fusion is None:
        return {"n": 0, "reason": "; ".join(left_out) or "no pair was measured", **about}
    result = fusion.summary()
    kept = ("n", "methods", "mean_rank", "mean_rank_ci95", "ranked_metrics", "frames", "per_frame")
    return about | {key: result[key] for key in kept}


def _timings(evaluation: StreamEvaluation) -> dict[str, Any]:
    n = evaluation.pairs
    span_s = (max(evaluation.stamps_ns) - min(evaluation.stamps_ns)) / 1e9
    return {
        "latency_ms": {stage: percentiles(values) for stage, values in evaluation.latency_ms.items()},
        "replay_s": evaluation.wall_s,
        "pairs_per_s": n / evaluation.wall_s,
        "real_time_factor": span_s / evaluation.wall_s,
    }


def percentiles(values: list[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    """p50, p95 and p99 of at least one value."""
    p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
    return {"p50": p50, "p95": p95, "p99": p99}
