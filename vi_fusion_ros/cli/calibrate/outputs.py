"""What the ``calibrate`` commands write: a rig that is better than what was there, figures and pictures."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vi_fusion_ros.cli.calibrate.inputs import Moment
    from vi_fusion_ros.registration import Rig
    from vi_fusion_ros.registration.estimate.acceptance import RigEvidence

_PICTURES = 6


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where results go."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="rig file to write, if it is a better one"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of before and after")


def require_usable(path: Path) -> None:
    """See to it, before anybody waits for a calibration, that its rig could be written.

    Raises:
        ValueError: the path is a folder's, lies where nothing can be written, or holds something else than a rig.
    """
    from vi_fusion_ros.registration import Rig

    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected the name of a rig file")
    if path.exists():
        Rig.load(path)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"{path} cannot be written: {folder} is no folder that can be written to")


def save_rig(path: Path, rig: Rig, evidence: RigEvidence, about: dict[str, Any]) -> Rig:
    """Write a rig that beats plain rescaling and what the file holds; what only the old one knows is kept.

    Args:
        path: of the rig file.
        rig: the new one.
        evidence: that it is better.
        about: goes into ``made`` of the file, besides when and from what it was made.

    Returns:
        The rig as written.

    Raises:
        ValueError: it is no better; the file stays as it is.
    """
    from vi_fusion_ros.registration.estimate.acceptance import inherited

    evidence.require_better_than_start()
    old = evidence.require_better_than_file(path)
    made = {
        **about,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        f"held_back_{evidence.unit}": round(float(evidence.held_back.mean()), 4),
        f"plain_rescaling_{evidence.unit}": round(float(evidence.start.mean()), 4),
        "inputs": list(evidence.keys),
    }
    rig = inherited(dataclasses.replace(rig, source=str(path), made=made), old)
    try:
        rig.save(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from error
    return rig


def write_pictures(folder: Path | None, moments: Iterable[Moment], rig: Rig, residual: str) -> None:
    """Some pairs before (plain rescaling) and after, one picture each."""
    if folder is None:
        return
    import cv2

    from vi_fusion_ros.registration.estimate.pictures import before_and_after
    from vi_fusion_ros.registration.estimate.points import start_rig

    folder.mkdir(parents=True, exist_ok=True)
    chosen = list(moments)
    for moment in chosen[:: -(-len(chosen) // _PICTURES)]:
        sizes = [(image.shape[1], image.shape[0]) for image in (moment.thermal, moment.visible)]
        picture = before_and_after(moment.visible, moment.thermal, start_rig(*sizes), rig, residual)
        cv2.imwrite(str(folder / f"{moment.name}.jpg"), picture)


def write_figures(path: Path | None, figures: dict[str, Any]) -> None:
    """Write JSON, where it is asked for."""
    if path:
        from vi_fusion_ros.evaluation.output import write_json

        write_json(path, figures)
