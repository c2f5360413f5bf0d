"""Time against truth: what smaller forms of a model lose, and what they gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.benchmarks.backends import Case, load
from vi_fusion_ros.benchmarks.timing import interleaved, summary
from vi_fusion_ros.engines.engine_manifest import Size, size_text
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.evaluation.labelled_sets import LabelledSet
from vi_fusion_ros.evaluation.metrics.fusion import fusion_metrics, to_gray
from vi_fusion_ros.evaluation.model_fusion import fuse_pair
from vi_fusion_ros.evaluation.studies.presence import judge_sets, pooled, presence_of

METRICS = ("Qabf", "VIF")
MOST = {"time": 0.25, "Qabf": 0.02, "VIF": 0.02, "auc": 0.03}
"""What a light model may take, as a share of the first one's time, and what it may lose against it."""


def compare(
    models: Mapping[str, Path], sets: Sequence[LabelledSet], size: Size, threads: int, runs: int, jobs: int
) -> dict[str, Any]:
    """Every model's time and truth.

    Args:
        models: ONNX files by name, each with its manifest; the first is what the others are compared with.
        sets: registered frames of both cameras with labels.
        size: width and height of the frames that are timed, pixels.
        threads: of the CPU.
        runs: timed runs of each model, all in turn.
        jobs: processes for presence.

    Returns:
        ``rows``: by model ``name``, ``model_id``, ``onnx_bytes``, ``median_ms`` and the like, ``time`` as a share of
        the first one's, means of ``Qabf`` and ``VIF`` over all frames, mean ROC-AUC ``auc`` of presence with both
        cameras and that of each label (``auc_by_label``), ``lost`` of each against the first, and ``light``: whether
        it is within ``most``.

    Raises:
        ValueError: a model or a set cannot be used.
    """
    times = interleaved({n: load(Case("onnxruntime", p, size, threads)).call for n, p in models.items()}, runs)
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        auc = presence_of(pooled(judge_sets(sets, model, jobs)))["conditions"]["both"]
        if auc["mean"]["roc_auc"] is None:
            raise ValueError("no label is there in some of the frames and not in others; expected frames that tell")
        rows.append(
            {
                "name": name,
                "model_id": Manifest.load(model.with_suffix(".json")).model_id,
                "onnx_bytes": model.stat().st_size,
                **summary(times[name]),
                **_fusion(model, sets),
                "auc": auc["mean"]["roc_auc"],
                "auc_by_label": {label: row["roc_auc"] for label, row in auc["labels"].items()},
            }
        )
    first = rows[0]
    for row in rows:
        row["time"] = row["median_ms"] / first["median_ms"]
        row["lost"] = {key: first[key] - row[key] for key in (*METRICS, "auc")}
        row["light"] = row["time"] <= MOST["time"] and all(lost <= MOST[key] for key, lost in row["lost"].items())
    sizes = {"size": size_text(size), "threads": threads, "runs": runs}
    return {"frames": sum(len(one.indices) for one in sets), **sizes, "most": MOST, "rows": rows}


def _fusion(model: Path, sets: Sequence[LabelledSet]) -> dict[str, float]:
    values = []
    for one in sets:
        dataset = one.open()
        for sample in one.samples:
            visible, thermal = dataset.decode(sample)
            fused = to_gray(fuse_pair(model, visible, thermal).fused)
            values.append(list(fusion_metrics(fused, to_gray(visible), thermal, METRICS).values()))
    return dict(zip(METRICS, map(float, np.mean(values, axis=0)), strict=True))
