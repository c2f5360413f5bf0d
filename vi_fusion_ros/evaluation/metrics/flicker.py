"""How much a fused video flickers: changes of grey from frame to frame where neither source changes."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Mean change from frame to frame in static areas, for the fused image and what it is made of.

    A pixel is static between two frames where the mean over its ``WINDOW`` square changes by at most ``STILL`` grey
    levels in both sources.

    Args:
        results: consecutive frames of one video with both cameras, all of one size.

    Returns:
        ``n`` (changes counted), ``static_share`` (0 to 1), and by ``visible``, ``thermal``, ``average``, ``maximum``
        and ``fused``: ``pixel`` (mean absolute change, grey levels of 255: noise) and ``local`` (mean absolute change
        of the local mean: flicker that is seen).

    Raises:
        ValueError: fewer than two frames, or no static area.
    """
    before: dict[str, Floats] | None = None
    sums: dict[str, npt.NDArray[np.float64]] = {}
    count = static = total = 0
    for result in results:
        now = _lumas(result)
        if before is not None:
            changes = {name: now[name] - before[name] for name in now}
            local = {name: cv2.blur(change, (WINDOW, WINDOW)) for name, change in changes.items()}
            still = (np.abs(local["visible"]) <= STILL) & (np.abs(local["thermal"]) <= STILL)
            for name, change in changes.items():
                both = np.abs(change[still]).sum(dtype=float), np.abs(local[name][still]).sum(dtype=float)
                sums[name] = sums.get(name, np.zeros(2)) + both
            count, static, total = count + 1, static + int(still.sum()), total + still.size
        before = now
    if not static:
        raise ValueError(f"no static area in {count} changes between frames; expected two frames or more of one scene")
    means = {name: dict(zip(("pixel", "local"), map(float, both / static), strict=True)) for name, both in sums.items()}
    return {"n": count, "static_share": static / total, **means}


def _lumas(result: FusionResult) -> dict[str, Floats]:
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
