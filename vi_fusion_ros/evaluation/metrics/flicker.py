"""How much a fused video flickers: changes of grey from frame to frame where neither source changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics.fusion import to_gray
from vi_fusion_ros.types import FusionResult

STILL = 1.5
"""Grey levels: largest change of a source's local mean in a static area."""

WINDOW = 9
"""Pixels: side of the square that the local mean is taken over, so that noise averages out and motion does not."""

Floats = npt.NDArray[np.float32]


def flicker(results: Iterable[FusionResult]) -> dict[str, Any]:
    """``flicker_of`` what a pipeline makes of a video, beside the mean and the maximum of its sources.

    Args:
        results: consecutive frames of one video with both cameras, all of one size.

    Returns:
        As ``flicker_of``, by ``visible``, ``thermal``, ``average``, ``maximum`` and ``fused``.

    Raises:
        ValueError: fewer than two frames, or no static area.
    """
    return flicker_of(map(lumas, results))


def flicker_of(frames: Iterable[Mapping[str, npt.NDArray[Any]]]) -> dict[str, Any]:
    """Mean change from frame to frame in static areas, for each of several videos of one scene.

    A pixel is static between two frames where the mean over its ``WINDOW`` square changes by at most ``STILL`` grey
    levels in both sources.

    Args:
        frames: consecutive frames, each (H, W) grey levels of 255 by the name of its video, all of one size;
            ``visible`` and ``thermal`` are the sources.

    Returns:
        ``n`` (changes counted), ``static_share`` (0 to 1), and by video ``pixel`` (mean absolute change, grey levels of
        255: noise) and ``local`` (mean absolute change of the local mean: flicker that is seen).

    Raises:
        ValueError: a source is missing, fewer than two frames, or no static area.
    """
    changes = Flicker()
    for images in frames:
        changes.add(images)
    return changes.result()


class Flicker:
    """``flicker_of``, frame by frame."""

    def __init__(self) -> None:
        self._before: dict[str, Floats] | None = None
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._count = self._static = self._total = 0

    def add(self, frames: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take the next frame of each video, (H, W) by name.

        Raises:
            ValueError: a source is missing.
        """
        missing = {"visible", "thermal"} - set(frames)
        if missing:
            raise ValueError(f"flicker without {' and '.join(sorted(missing))}; expected both sources of the video")
        now = {name: image.astype(np.float32) for name, image in frames.items()}
        before, self._before = self._before, now
        if before is None:
            return
        changes = {name: now[name] - before[name] for name in now}
        local = {name: cv2.blur(change, (WINDOW, WINDOW)) for name, change in changes.items()}
        still = (np.abs(local["visible"]) <= STILL) & (np.abs(local["thermal"]) <= STILL)
        for name, change in changes.items():
            both = np.abs(change[still]).sum(dtype=float), np.abs(local[name][still]).sum(dtype=float)
            self._sums[name] = self._sums.get(name, np.zeros(2)) + both
        self._count, self._static, self._total = (
            self._count + 1,
            self._static + int(still.sum()),
            self._total + still.size,
        )

    def result(self) -> dict[str, Any]:
        """As ``flicker_of``.

        Raises:
            ValueError: fewer than two frames, or no static area.
        """
        if not self._static:
            raise ValueError(
                f"no static area in {self._count} changes between frames; expected two frames or more of one scene"
            )
        means = {
            name: dict(zip(("pixel", "local"), map(float, both / self._static), strict=True))
            for name, both in self._sums.items()
        }
        return {"n": self._count, "static_share": self._static / self._total, **means}


def lumas(result: FusionResult) -> dict[str, Floats]:
    """Grey levels of a result with both cameras, (H, W) float32: its sources, their mean and maximum, and ``fused``."""
    assert result.pair.visible is not None
    assert result.thermal_grey is not None
    visible, thermal, fused = (
        to_gray(image).astype(np.float32) for image in (result.pair.visible.image, result.thermal_grey, result.fused)
    )
    return {
        "visible": visible,
        "thermal": thermal,
        "average": (visible + thermal) * np.float32(0.5),
        "maximum": np.maximum(visible, thermal),
        "fused": fused,
    }
