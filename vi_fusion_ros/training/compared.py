"""Presence as two networks tell it, on the same frames: ROC-AUC, and whether they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.calibration import sigmoid
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_weights, known_means
from vi_fusion_ros.evaluation.metrics.presence import statistics
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.batches.packed import PackedPairs, pooled_presence
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.predict import predict_sets
from vi_fusion_ros.training.report import MODES

Floats = npt.NDArray[np.float64]


def compared(networks: Mapping[str, FusionNet], sets: Sequence[PackedPairs]) -> dict[str, Any]:
    """ROC-AUC of presence, and the second network's minus the first one's.

    Args:
        networks: two, by name.
        sets: frames with what is known of them.

    Returns:
        ``n`` frames; ``with``, how many of them show each label; and by mode, for both names and ``difference``, by
        label and as their ``mean``: ``auc`` and its interval ``ci95`` over frames, NaN where frames with the label or
        without it are missing.
    """
    present, known = (part > 0 for part in pooled_presence(sets))
    count, names = len(present), (*LABELS, "mean")
    rows: dict[str, Any] = {"n": count, "with": frames_with(sets)}
    for mode, modality in MODES.items():
        said = [
            sigmoid(predict_sets(network.eval(), sets, modality)[0]).astype(np.float64) for network in networks.values()
        ]

        def aucs(weights: Floats, said: list[Floats] = said) -> Floats:
            """(R, networks and their difference, labels and their mean), flat."""
            by_network = []
            for probability in said:
                by_label = np.stack(
                    [
                        statistics(weights[:, there], probability[there, k], present[there, k], 0.5)[:, 0]
                        for k, there in enumerate(known.T)
                    ]
                )
                by_network.append(np.concatenate([by_label, known_means(by_label)[None]]).T)
            return np.stack([*by_network, by_network[1] - by_network[0]], 1).reshape(len(weights), -1)

        value = aucs(np.ones((1, count))).reshape(3, len(names))
        low, high = bootstrap_weights(count, aucs).reshape(2, 3, len(names))
        rows[mode] = {
            title: {
                name: {"auc": float(value[i, k]), "ci95": [float(low[i, k]), float(high[i, k])]}
                for k, name in enumerate(names)
            }
            for i, title in enumerate((*networks, "difference"))
        }
    return rows


def frames_with(sets: Iterable[PackedPairs]) -> dict[str, int]:
    """How many frames show each label."""
    present, known = (part > 0 for part in pooled_presence(sets))
    return dict(zip(LABELS, (present & known).sum(0).tolist(), strict=True))
