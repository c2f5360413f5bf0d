"""Whole frames of sets that the network never saw: ``python -m vi_fusion_ros.training.leave_one_out CONFIG --json F``.

The sets of both cameras are put into groups that share cameras and places. For each group a network is trained on all
others with the same recipe, and judged on every frame of the group, with both cameras and with either one black. The
pooled scores give the figures of docs/model.md and the calibration that ``vi-fusion export`` puts into the manifest.

Networks that were trained on different places do not score on one scale: where nearly every frame shows a person, every
frame looks like one. So each network's scores are first made log-odds by its own selection frames, as the manifest of
that network would have it, and what is pooled says how such log-odds have to change in places nobody trained on.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.batches.packed import pooled_presence
from vi_fusion_ros.training.classification import calibration_error, roc_auc
from vi_fusion_ros.training.config import DataConfig, TrainConfig, load_config
from vi_fusion_ros.training.data import frames_of
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS
from vi_fusion_ros.training.predict import predict_sets
from vi_fusion_ros.training.release.calibration import calibrate, of_mode
from vi_fusion_ros.training.release.export import calibration_of
from vi_fusion_ros.training.release.released import released_network
from vi_fusion_ros.training.report import MODES
from vi_fusion_ros.training.trainer import trained

GROUPS: dict[str, tuple[str, ...]] = {"street": ("roadscene", "flir"), "campus": ("msrs",), "forest": ("m3svd",)}
"""Sets by group; object crops belong to the first one, being of its cameras and drives."""

_EVERYTHING = ((-1, 1_000_000_000),)
_OPERATING = (0.05, 0.10)

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


class Scores(NamedTuple):
    """What networks say of frames of sets that they never saw.

    Attributes:
        logits: (N, C) by mode: log-odds as each network's own selection frames have them.
        light: (N,) most probable illumination class with both cameras.
        present: (N, C).
        known: (N, C).
        illumination: (N,), -1 where unknown.
        group: (N,) index into ``GROUPS``.
    """

    logits: dict[str, Floats]
    light: npt.NDArray[np.int64]
    present: Floats
    known: Floats
    illumination: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]


def leave_one_out(config: TrainConfig, resume: bool = False) -> dict[str, Any]:
    """Train without each group in turn, and judge on it.

    Args:
        config: the recipe; its sets have the names that ``GROUPS`` holds.
        resume: go on with runs that were broken off.

    Returns:
        ``figures`` of everything pooled and of each group, and ``calibration`` for the manifest.

    Raises:
        ValueError: bad data, or none of the groups' sets in the configuration.
    """
    parts = []
    for number, (group, names) in enumerate(GROUPS.items()):
        held = {name: entry for name, entry in config.data.sets.items() if name in names}
        rest = {name: entry for name, entry in config.data.sets.items() if name not in names}
        if not held or not rest:
            continue
        crops = None if number == 0 else config.data.crops
        data = dataclasses.replace(config.data, sets=rest, crops=crops)
        # A head start from elsewhere might have seen the group.
        run = dataclasses.replace(config, name=f"{config.name}/without-{group}", data=data, start_from=None)
        network = released_network(trained(run, resume))[1]
        own = calibration_of(network, dataclasses.replace(run, calibration=None))
        parts.append(_judge(network, own, dataclasses.replace(config.data, sets=held), number))
    if not parts:
        raise ValueError(f"the configuration has none of the sets {', '.join(sum(GROUPS.values(), ()))}")
    scores = _joined(parts)
    made = calibrate(scores.logits, scores.present, scores.known)
    return {
        "recipe": {"name": config.name, "steps": config.optim.epochs * config.optim.steps, "seed": config.seed},
        "groups": {group: list(names) for group, names in GROUPS.items()},
        "figures": figures(scores),
        "calibration": made,
    }


def figures(scores: Scores) -> dict[str, Any]:
    """Presence by group and mode, and illumination. Probabilities and thresholds of a group come from the others."""
    rows: dict[str, Any] = {}
    names = list(GROUPS)
    transferred = {mode: _transferred(scores, mode) for mode in scores.logits}
    for place, name in [(None, "all"), *((int(k), names[k]) for k in np.unique(scores.group))]:
        inside = np.full(len(scores.group), True) if place is None else scores.group == place
        rows[name] = {"frames": int(inside.sum()), "illumination": _illumination(scores, inside)}
        for mode, logits in scores.logits.items():
            rows[name][mode] = {
                label: _label_figures(scores, logits, k, inside, *transferred[mode]) for k, label in enumerate(LABELS)
            }
    return rows


def _label_figures(
    scores: Scores, logits: Floats, label: int, inside: Bools, probability: Floats, called: Bools
) -> dict[str, Any]:
    chosen = inside & (scores.known[:, label] > 0)
    truth, score = scores.present[chosen, label] > 0, logits[chosen, label]
    row: dict[str, Any] = {"frames": len(truth), "with": int(truth.sum())}
    if truth.all() or not truth.any():
        return row
    row["auc"] = roc_auc(score, truth)
    row["auc_ci95"] = _auc_interval(score, truth)
    row.update({f"recall_at_{int(100 * rate)}": _recall_at(score, truth, rate) for rate in _OPERATING})
    row["ece"] = calibration_error(probability[chosen, label], truth)
    row["recall"] = float(called[chosen, label][truth].mean())
    row["false_alarms"] = float(called[chosen, label][~truth].mean())
    return row


def _transferred(scores: Scores, mode: str) -> tuple[Floats, Bools]:
    """Probabilities and calls, (N, C), with a calibration made from the other groups alone."""
    probability = np.zeros(scores.present.shape)
    called = np.zeros(scores.present.shape, bool)
    for group in np.unique(scores.group):
        there, others = scores.group == group, scores.group != group
        if not others.any():
            others = there
        made = calibrate({mode: scores.logits[mode][others]}, scores.present[others], scores.known[others])
        calibration = of_mode(made, mode)
        probability[there] = calibration.probabilities(scores.logits[mode][there])
        called[there] = probability[there] >= calibration.thresholds
    return probability, called


def _recall_at(score: Floats, truth: npt.NDArray[np.bool_], rate: float) -> float:
    """Recall at the threshold that calls at most ``rate`` of the frames without the label."""
    negatives = np.sort(score[~truth])[::-1]
    return float((score[truth] > negatives[int(rate * len(negatives))]).mean())


def _auc_interval(score: Floats, truth: npt.NDArray[np.bool_]) -> list[float]:
    """95 % interval of the AUC over resampled frames."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(score), size=(500, len(score)))
    values = [roc_auc(score[d], truth[d]) for d in draws if truth[d].any() and not truth[d].all()]
    return [float(q) for q in np.quantile(values, (0.025, 0.975))]


def _illumination(scores: Scores, inside: npt.NDArray[np.bool_]) -> dict[str, Any]:
    rows = {}
    for index, name in enumerate(ILLUMINATION):
        chosen = inside & (scores.illumination == index)
        rows[name] = {
            "frames": int(chosen.sum()),
            "right": float((scores.light[chosen] == index).mean()) if chosen.any() else None,
        }
    return rows


def _judge(network: FusionNet, own: dict[str, Any], data: DataConfig, group: int) -> Scores:
    whole = dataclasses.replace(
        data,
        sets={
            name: dataclasses.replace(entry, train=_EVERYTHING, select=(), test=()) for name, entry in data.sets.items()
        },
    )
    sets = list(frames_of(whole, "train").values())
    said = {mode: predict_sets(network, sets, modality) for mode, modality in MODES.items()}
    light = said["both"][1].argmax(1)
    return Scores(
        {mode: of_mode(own, mode).log_odds(logits) for mode, (logits, _) in said.items()},
        light,
        *pooled_presence(sets),
        np.concatenate([frames.illumination() for frames in sets]),
        np.full(len(light), group),
    )


def _joined(parts: list[Scores]) -> Scores:
    logits = {mode: np.concatenate([part.logits[mode] for part in parts]) for mode in parts[0].logits}
    rest = (np.concatenate([getattr(part, name) for part in parts]) for name in Scores._fields[1:])
    return Scores(logits, *rest)


def main() -> None:
    """Write the JSON."""
    parser = argparse.ArgumentParser(description="Judge a recipe on sets that it never saw.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--epochs", type=int, help="length of each run (default: that of the configuration)")
    parser.add_argument("--resume", action="store_true", help="go on with runs that were broken off")
    args = parser.parse_args()
    config = load_config(args.config)
    if args.epochs is not None:
        config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, epochs=args.epochs))
    write_json(args.json, leave_one_out(config, args.resume))


if __name__ == "__main__":
    main()
