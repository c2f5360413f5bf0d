"""The fused network against one camera alone: ``python -m vi_fusion_ros.training.compare FUSED VISIBLE THERMAL``.

Each argument is a checkpoint of a run with that ``modality``; all are judged on the test parts of the first one's
configuration. The mean of both single-camera networks' probabilities stands beside them, and the fused network with
one camera black.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import sigmoid
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.batches.packed import pooled_presence
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.classification import presence_report
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import crops_of, frames_of, of_both_cameras
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.predict import predict_crops, predict_sets
from vi_fusion_ros.training.report import crop_figures

Logits = npt.NDArray[np.float32]


def compare(fused: Path, visible: Path, thermal: Path) -> dict[str, Any]:
    """Figures of the six ways to classify, by name: ``crops`` where there are crops, ``frames`` for whole frames.

    Raises:
        ValueError: a checkpoint cannot be read, or was trained on another modality than its place says.
    """
    networks = {}
    config: TrainConfig | None = None
    for modality, path in (("both", fused), ("visible", visible), ("thermal", thermal)):
        own, weights = checkpoint_weights(path)
        if own.modality != modality:
            raise ValueError(f"{path}: trained with modality {own.modality}; expected {modality}")
        config = config or own
        networks[modality] = FusionNet(own.network)
        networks[modality].load_state_dict(weights)
        networks[modality].eval()
    assert config is not None
    result: dict[str, Any] = {}
    crops = crops_of(config.data, "test")
    if crops is not None:
        scores = _all_ways(networks, lambda network, modality: predict_crops(network, crops, modality)[0])
        present = crops.presence()[0]
        result["crops"] = {name: crop_figures(values, crops) for name, values in scores.items()}
        result["macro_f1"] = macro_f1_intervals(scores, present)
    sets = list(of_both_cameras(frames_of(config.data, "test")).values())
    if sets:
        scores = _all_ways(networks, lambda network, modality: predict_sets(network, sets, modality)[0])
        present, known = pooled_presence(sets)
        result["frames"] = {name: presence_report(values, present, known, LABELS) for name, values in scores.items()}
    return result


def _all_ways(networks: dict[str, FusionNet], predict: Any) -> dict[str, Logits]:
    visible, thermal = predict(networks["visible"], "visible"), predict(networks["thermal"], "thermal")
    mean = np.clip((sigmoid(visible) + sigmoid(thermal)) / 2, 1e-7, 1 - 1e-7)
    return {
        "fused": predict(networks["both"], "both"),
        "visible only": visible,
        "thermal only": thermal,
        "mean of both": np.log(mean / (1 - mean)),
        "fused, thermal black": predict(networks["both"], "visible"),
        "fused, visible black": predict(networks["both"], "thermal"),
    }


def macro_f1_intervals(scores: dict[str, Logits], present: npt.NDArray[np.float32]) -> dict[str, Any]:
    """95% bootstrap intervals over crops of the macro F1 of each way, and of how much ``fused`` is ahead of it.

    Crops of one frame, and of one drive, are alike: the true intervals are wider.

    Args:
        scores: by name of the way, (N, C) each; ``fused`` is one of them.
        present: (N, C), one label a crop.

    Returns:
        By name: ``ci95`` and ``fused_ahead_ci95``, [low, high] each.
    """
    names, (count, labels) = list(scores), present.shape
    truth = present > 0
    said = [np.eye(labels, dtype=bool)[logits.argmax(1)] for logits in scores.values()]
    # Columns: for each way hits and what it said, a column a label; then the truth.
    columns = np.concatenate([part for s in said for part in (s & truth, s)] + [truth], 1).astype(float)

    def statistic(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        parts = means.reshape(len(means), -1, labels)
        hits, predicted, actual = parts[:, 0:-1:2], parts[:, 1:-1:2], parts[:, -1:]
        f1 = (2 * hits / np.maximum(predicted + actual, 1 / count)).mean(2)
        return np.concatenate((f1, f1[:, [names.index("fused")]] - f1), 1)

    ends = bootstrap(columns, statistic).T
    return {
        name: {"ci95": ends[k].tolist(), "fused_ahead_ci95": ends[len(names) + k].tolist()}
        for k, name in enumerate(names)
    }


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare the fused network with one camera alone.")
    for name in ("fused", "visible", "thermal"):
        parser.add_argument(name, type=Path, help=f"checkpoint of the {name} run")
    args = parser.parse_args()
    print(json.dumps(compare(args.fused, args.visible, args.thermal), indent=2))


if __name__ == "__main__":
    main()
