"""Temperatures inside regions of the picture, over a whole stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import FusionResult

Region = tuple[int, int, int, int]
"""x and y of the upper left corner, width and height, pixels of the image that results are drawn in."""

_ZERO_CELSIUS = 273.15


class RegionTemperatures:
    """Gathers the temperatures of regions, pair by pair.

    Args:
        regions: where; what lies outside of the image or without thermal data takes no part.
    """

    def __init__(self, regions: Iterable[Region]) -> None:
        self._rows: dict[Region, list[tuple[float, float, float]]] = {region: [] for region in regions}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def memory(self) -> dict[Region, list[tuple[float, float, float]]]:
        """What was gathered so far."""
        return self._rows

    def recall(self, memory: dict[Region, list[tuple[float, float, float]]]) -> None:
        """Go on where the one with this ``memory`` is."""
        self._rows = memory

    def take(self, result: FusionResult, radiometry: Radiometry | None) -> None:
        """Look at one result; nothing is known without a thermal image or a radiometry."""
        if result.thermal_registered is None or radiometry is None:
            return
        for (x, y, width, height), rows in self._rows.items():
            part = np.s_[y : y + height, x : x + width]
            counts = result.thermal_registered[part]
            known = np.isfinite(counts)
            if result.mask is not None:
                known &= result.mask[part] > 0
            if known.any():
                celsius = radiometry.kelvin(counts)[known].astype(np.float64) - _ZERO_CELSIUS
                rows.append((float(celsius.min()), float(celsius.mean()), float(celsius.max())))

    def summary(self) -> list[dict[str, Any]]:
        """The regions as JSON has them.

        Returns:
            For each ``region``, ``pairs`` (that have data there), and over these, in °C, ``min`` (the lowest of all),
            ``mean`` (the mean of the means) and ``max`` (the highest of all); None without a pair.
        """
        return [{"region": list(region), "pairs": len(rows), **_over(rows)} for region, rows in self._rows.items()]


def _over(rows: list[tuple[float, float, float]]) -> dict[str, float | None]:
    if not rows:
        return {"min": None, "mean": None, "max": None}
    lows, means, highs = zip(*rows, strict=True)
    return {"min": min(lows), "mean": float(np.mean(means)), "max": max(highs)}
