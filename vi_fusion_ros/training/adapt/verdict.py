"""Whether an adapted network is better than the one that it came from, on what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.evaluation.metrics.fusion import metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_means, known_means
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.compared import compared
from vi_fusion_ros.training.predict import predict_fused, predict_presence
from vi_fusion_ros.training.report import MODES
from vi_fusion_ros.types import Mode

BETTER = ("Qabf", "VIF", "SCD")
"""Of these, two have to be better by more than their interval."""

NOT_WORSE = (*BETTER, "one_sided_visible", "one_sided_thermal")
"""None of these may be worse by more than its interval. The last two say that neither camera is left out of the
picture, which the others alone would reward."""

_ENOUGH = 2
_BLOCK = 4  # neighbouring frames that count as one, for they are nearly the same
_SAME_WORDS = 0.95
_MOST_MOVED = 0.05
_ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]


def judge(
    before: FusionNet,
    after: FusionNet,
    manifest: Manifest,
    sets: Sequence[PackedPairs],
    labelled: Sequence[PackedPairs] = (),
) -> dict[str, Any]:
    """Figures of both networks, and the reasons for which a part of the new one is not kept.

    Args:
        before: the network that was started from, in eval mode.
        after: the adapted one, in eval mode.
        manifest: of the first one; its calibration holds for both.
        sets: what was set aside, each in the order of time.
        labelled: labelled frames of which nothing was learned.

    Returns:
        ``fusion``: by metric ``before``, ``after``, ``difference`` and its ``ci95``, over blocks of neighbours;
        ``reasons``: sentences, empty where the adapted decoder is to be kept; ``words``: what the labels do, with
        ``reasons`` of their own: where there are some, perception is to stay as it was. The two share no weight;
        ``labelled``: as ``compared`` has it, None without labelled frames.
    """
    fusion = _fusion(before, after, sets)
    words = _words(before, after, manifest, sets)
    truth = compared({"before": before, "after": after}, labelled) if labelled else None
    reasons = _word_reasons(words) + (_label_reasons(truth) if truth else [])
    return {
        "fusion": fusion,
        "reasons": _fusion_reasons(fusion),
        "words": {**words, "reasons": reasons},
        "labelled": truth,
    }


def _fusion(before: FusionNet, after: FusionNet, sets: Sequence[PackedPairs]) -> dict[str, dict[str, Any]]:
    frames = [(pairs, index) for pairs in sets for index in range(len(pairs))]
    rows = np.array(map_in_order(lambda at: _metrics(before, after, at[0][at[1]]), frames, 1, "fusion metrics"))
    ends = np.cumsum([len(pairs) for pairs in sets])[:-1]
    values = np.concatenate([_blocks(part) for part in np.split(rows, ends)])  # (blocks, 2, metrics)
    means, change = known_means(values), values[:, 1] - values[:, 0]
    low, high = bootstrap_means(change)
    return {
        name: {
            "before": float(means[0, k]),
            "after": float(means[1, k]),
            "difference": float(known_means(change)[k]),
            "ci95": [float(low[k]), float(high[k])],
        }
        for k, name in enumerate(NOT_WORSE)
    }


def _metrics(before: FusionNet, after: FusionNet, pixels: npt.NDArray[np.uint8]) -> list[list[float]]:
    visible = to_gray(cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2BGR))
    thermal = np.ascontiguousarray(pixels[..., 3])
    fused = {name: _luma8(network, pixels) for name, network in (("before", before), ("after", after))}
    return [list(row.values()) for row in metrics_of_methods(fused, visible, thermal, NOT_WORSE).values()]


def _luma8(network: FusionNet, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    fused = predict_fused(network, pixels)[0][0, 0].float().cpu().numpy()
    return np.rint(fused * 255).astype(np.uint8)


def _blocks(values: Floats) -> Floats:
    """(N, ...) means of neighbours, (N / 4, ...); NaN where a block has no value."""
    return np.stack([known_means(part) for part in np.array_split(values, max(len(values) // _BLOCK, 1))])


def _words(before: FusionNet, after: FusionNet, manifest: Manifest, sets: Sequence[PackedPairs]) -> dict[str, Any]:
    """How far what is said of the frames has moved: with both cameras, and with one against what both had said."""
    probability: dict[tuple[str, str], list[Floats]] = {}
    for (name, network), (mode, modality) in (
        (network, mode) for network in (("before", before), ("after", after)) for mode in MODES.items()
    ):
        calibration = manifest.calibration(Mode[mode.upper()])
        probability[name, mode] = [
            calibration.probabilities(predict_presence(network, pairs, modality)[0]) for pairs in sets
        ]
    both = manifest.calibration(Mode.BOTH)
    old, new = (np.concatenate(probability[name, "both"]) for name in ("before", "after"))
    words: dict[str, Any] = {
        "same": float(((old >= both.thresholds) == (new >= both.thresholds)).mean()),
        "moved": float(np.abs(new - old).mean()),
    }
    for mode in list(MODES)[1:]:
        off = [
            np.concatenate(
                [_blocks(np.abs(one - reference).mean(1)) for one, reference in zip(own, both_said, strict=True)]
            )
            for own, both_said in (
                (probability[name, mode], probability["before", "both"]) for name in ("before", "after")
            )
        ]
        low, high = bootstrap_means((off[1] - off[0])[:, None])[:, 0]
        words[mode] = {"before": float(off[0].mean()), "after": float(off[1].mean()), "ci95": [float(low), float(high)]}
    return words


def _fusion_reasons(fusion: dict[str, dict[str, Any]]) -> list[str]:
    better = [name for name in BETTER if fusion[name]["ci95"][0] > 0]
    worse = [name for name in NOT_WORSE if fusion[name]["ci95"][1] < 0]
    reasons = []
    if len(better) < _ENOUGH:
        said = ", ".join(f"{name} {fusion[name]['difference']:+.3f}" for name in BETTER)
        reasons.append(
            f"only {len(better)} of {_ENOUGH} metrics needed are better by more than their interval ({said})"
        )
    return reasons + [f"{name} is worse by {-fusion[name]['difference']:.3f}, more than its interval" for name in worse]


def _word_reasons(words: dict[str, Any]) -> list[str]:
    alone = list(MODES)[1:]
    reasons = [
        f"with {mode.replace('_', ' ')}, labels are further from those of both cameras "
        f"({words[mode]['before']:.3f} before, {words[mode]['after']:.3f} after)"
        for mode in alone
        if words[mode]["ci95"][0] > 0
    ]
    if not any(words[mode]["ci95"][1] < 0 for mode in alone):
        reasons.append("with either camera alone, labels are no nearer to those of both")
    if words["same"] < _SAME_WORDS or words["moved"] > _MOST_MOVED:
        reasons.append(
            f"the labels have drifted: {words['same']:.0%} of them are as before, and probabilities moved by "
            f"{words['moved']:.3f}; expected {_SAME_WORDS:.0%} and at most {_MOST_MOVED}"
        )
    return reasons


def _label_reasons(truth: dict[str, Any]) -> list[str]:
    """Sentences about what is told worse of labelled frames, in the mean over the labels."""
    reasons = []
    for mode in MODES:
        before, after, difference = (truth[mode][key]["mean"] for key in ("before", "after", "difference"))
        if difference["ci95"][1] < -_ROUNDING:
            cameras = "both cameras" if mode == "both" else mode.replace("_", " ")
            reasons.append(
                f"on the labelled frames, with {cameras}, ROC-AUC falls from {before['auc']:.3f} to "
                f"{after['auc']:.3f}, by more than its interval"
            )
    return reasons
