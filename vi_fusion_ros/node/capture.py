"""One moment as files: the pair, the result, and what the node said of itself. Free of ROS."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.objects import as_json
from vi_fusion_ros.types import FusionResult, Image

_PART = ".part"
_ABANDONED_AFTER_S = 60.0


def default_folder() -> Path:
    """Where captures go when nothing else is said: below ``$ROS_HOME``, or ``~/.ros``."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "vi_fusion_ros" / "captures"


def write_capture(folder: Path, result: FusionResult, status: Mapping[str, Any]) -> Path:
    """Write a folder of its own below ``folder``, named after the result's stamp; it appears complete or not at all.

    Images are PNG, float ones TIFF, all as received or published, so 16 bit stay 16 bit.

    Args:
        folder: made where it does not exist.
        result: with its pair.
        status: anything that JSON can hold.

    Returns:
        The new folder.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    part = Path(tempfile.mkdtemp(suffix=_PART, prefix=".", dir=folder))
    try:
        for name, image in _images(result).items():
            _write_image(part, name, image)
        (part / "result.json").write_text(json.dumps(_describe(result), indent=2) + "\n")
        (part / "status.json").write_text(json.dumps(status, indent=2) + "\n")
        part.chmod(0o755)
        return _rename(part, folder, f"capture_{result.pair.reference.stamp_ns}")
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _images(result: FusionResult) -> dict[str, Image]:
    pair = result.pair
    images = {
        "visible": None if pair.visible is None else pair.visible.image,
        "thermal": None if pair.thermal is None else pair.thermal.image,
        "thermal_registered": result.thermal_registered,
        "fused": result.fused,
        "attention": np.rint(result.attention * 255).astype(np.uint8),
    }
    return {name: image for name, image in images.items() if image is not None}


def _write_image(folder: Path, name: str, image: Image) -> None:
    kind = "tiff" if image.dtype == np.float32 else "png"
    written, data = cv2.imencode(f".{kind}", image)
    if not written:
        raise OSError(f"{name} of type {image.dtype} cannot be written as {kind}")
    (folder / f"{name}.{kind}").write_bytes(data.tobytes())


def _describe(result: FusionResult) -> dict[str, Any]:
    pair = result.pair
    return {
        "mode": pair.mode.name,
        "skew_ns": pair.skew_ns,
        **{
            camera: None if frame is None else {"stamp_ns": frame.stamp_ns, "frame_id": frame.frame_id}
            for camera, frame in (("visible", pair.visible), ("thermal", pair.thermal))
        },
        "labels": {s.label: {"probability": s.probability, "present": s.present} for s in result.scores},
        "objects": [as_json(found) for found in result.objects],
        "illumination": result.illumination,
        "illumination_probability": result.illumination_probability,
        "thermal_attention": result.thermal_attention,
        "overlap": result.overlap,
        "timings_ms": result.timings_ms,
    }


def _rename(part: Path, folder: Path, name: str) -> Path:
    """Give the folder its name, and a number where that name is taken."""
    number = 1
    while True:
        target = folder / (name if number == 1 else f"{name}_{number}")
        if not target.exists():
            return part.rename(target)
        number += 1


def _remove_abandoned(folder: Path) -> None:
    """Parts that a killed process has left behind."""
    for part in folder.glob(f".*{_PART}"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(part, ignore_errors=True)
        except OSError:  # another node has removed it
            continue
