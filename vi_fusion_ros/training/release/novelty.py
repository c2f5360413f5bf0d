"""Calibrate what the manifest says of pairs that are unlike anything trained on (``vi_fusion_ros.novelty``).

``python -m vi_fusion_ros.training.release.novelty CONFIG MODEL.onnx`` writes it anew into the manifest of a model that
is there; weights, id and everything else stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.novelty import STATISTICS, Novelty, statistics
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import DataConfig, load_config
from vi_fusion_ros.training.data import Part, frames_of, of_both_cameras
from vi_fusion_ros.training.release.card import write_manifest

FALSE_ALARMS = 0.05
"""Share of the frames set aside that may be flagged; each of both figures gets half of it."""

_RIDGE = 0.05  # of each variance added to it: the sets are small
_FEWEST = 8  # frames to fit or to calibrate on
_EVERYTHING = ((-1, 1_000_000_000),)

Floats = npt.NDArray[np.float64]
Rows = tuple[Floats, Floats]
"""Appearance (N, 13) and agreement (N,)."""


def novelty_of(data: DataConfig) -> dict[str, Any]:
    """``novelty`` for a manifest, from the frames of both cameras; empty where there are too few.

    Returns:
        ``centres`` by set, ``whitening``, ``distance`` and ``agreement`` (see ``vi_fusion_ros.novelty``);
        ``false_alarms``: what was asked for; ``frames``: how many of each part; ``flagged``: share of the frames
        that are flagged: of ``select``, of ``test``, and of each set by a calibration on all the others.
    """
    parts = {part: _rows(data, part) for part in ("train", "select", "test")}
    made = fit(parts["train"], parts["select"])
    if not made:
        return {}
    names = [name for name in parts["train"] if len(parts["train"]) > 1]
    unseen = {}
    for name in names:
        others = [{n: rows for n, rows in parts[part].items() if n != name} for part in ("train", "select")]
        fitted = fit(*others)
        if fitted:
            unseen[name] = _flagged(fitted, [part[name] for part in parts.values() if name in part])
    return {
        **made,
        "false_alarms": FALSE_ALARMS,
        "frames": {part: sum(len(rows[1]) for rows in sets.values()) for part, sets in parts.items()},
        "flagged": {
            **{part: _flagged(made, parts[part].values()) for part in ("select", "test") if parts[part]},
            "sets_left_out": unseen,
        },
    }


def fit(train: dict[str, Rows], select: dict[str, Rows]) -> dict[str, Any]:
    """Centres, covariance and thresholds; empty where there are fewer than 8 frames to fit or to calibrate on."""
    if min(sum(len(rows[1]) for rows in part.values()) for part in (train, select)) < _FEWEST:
        return {}
    centres = {name: appearance.mean(0) for name, (appearance, _) in train.items()}
    # Every set counts as much as another, however many frames it has.
    spread = [(rows[0] - centres[name]) / np.sqrt(len(rows[1]) * len(train)) for name, rows in train.items()]
    covariance = np.concatenate(spread).T @ np.concatenate(spread)
    covariance += (_RIDGE * np.diag(covariance) + 1e-6) * np.eye(STATISTICS)
    appearance, agreement = (np.concatenate(column) for column in zip(*select.values(), strict=True))
    made = {
        "centres": {name: _rounded(centre) for name, centre in centres.items()},
        "whitening": _rounded(np.linalg.cholesky(np.linalg.inv(covariance))),
        "distance": 1.0,
        "agreement": {"usual": 2.0, "least": -2.0},  # of no account
    }
    distances = [Novelty(made).of_statistics(row, 2.0) for row in appearance]
    usual = float(np.median(np.concatenate([rows[1] for rows in train.values()])))
    least = float(np.quantile(agreement, FALSE_ALARMS / 2, method="lower"))
    made["distance"] = float(np.quantile(distances, 1 - FALSE_ALARMS / 2, method="higher"))
    made["agreement"] = {"usual": max(usual, least + 1e-3), "least": least}
    return made


def with_set(novelty: dict[str, Any], name: str, pairs: PackedPairs) -> dict[str, Any]:
    """A calibration that knows one more set of pairs, with the thresholds that it has."""
    return {**novelty, "centres": {**novelty["centres"], name: _rounded(_measured(pairs)[0].mean(0))}}


def recalibrate(data: DataConfig, model: Path) -> dict[str, Any]:
    """Write ``novelty`` into the manifest beside ``model`` and into its card; nothing else changes.

    Returns:
        It.

    Raises:
        ValueError: the manifest or the data cannot be used.
    """
    path = model.with_suffix(".json")
    Manifest.load(path).check_onnx(model)
    novelty = novelty_of(data)
    if not novelty:
        raise ValueError(
            f"too few frames of both cameras to calibrate on; expected {_FEWEST} to fit and {_FEWEST} aside"
        )
    manifest = {**json.loads(path.read_text(encoding="utf-8")), "novelty": novelty}
    write_manifest(model, manifest)
    return novelty


def _rows(data: DataConfig, part: Part) -> dict[str, Rows]:
    return {name: _measured(frames) for name, frames in of_both_cameras(frames_of(data, part)).items()}


def _measured(frames: PackedPairs) -> Rows:
    rows = [statistics(frames[i][..., 2::-1], np.ascontiguousarray(frames[i][..., 3])) for i in range(len(frames))]
    appearance, agreement = zip(*rows, strict=True)
    return np.array(appearance), np.array(agreement)


def _flagged(calibration: dict[str, Any], parts: Iterable[Rows]) -> float:
    novelty = Novelty(calibration)
    rows = [novelty.of_statistics(a, float(g)) for part in parts for a, g in zip(*part, strict=True)]
    return round(float(np.mean(np.array(rows) > 1)), 4)


def _rounded(values: Floats) -> list[Any]:
    return [[float(f"{x:.6g}") for x in row] if np.ndim(row) else float(f"{row:.6g}") for row in values]


def main() -> None:
    """Calibrate anew."""
    parser = argparse.ArgumentParser(description="Calibrate a model's novelty anew; its weights and id stay.")
    parser.add_argument("config", type=Path, help="configuration that it was trained by")
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="its manifest and card are written anew")
    args = parser.parse_args()
    print(json.dumps(recalibrate(load_config(args.config).data, args.model)["flagged"]))


if __name__ == "__main__":
    main()
