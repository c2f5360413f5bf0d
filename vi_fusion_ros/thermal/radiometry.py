"""The radiometric scale: thermal counts to kelvin and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

_ZERO_CELSIUS = 273.15


@dataclass(frozen=True)
class Radiometry:
    """A radiometric scale: temperature = scale * count + offset.

    Attributes:
        scale: units a count. FLIR TLinear: 0.01 or 0.04.
        offset: units at count 0. FLIR TLinear: 0.
        unit: ``kelvin`` or ``celsius``, of scale and offset.

    Raises:
        ValueError: a scale that is not above 0, an offset that is not finite, or another unit.
    """

    scale: float
    offset: float = 0.0
    unit: str = "kelvin"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0 and math.isfinite(self.offset)):
            raise ValueError(
                f"radiometry scale {self.scale}, offset {self.offset}; expected a scale above 0, both finite"
            )
        if self.unit not in ("kelvin", "celsius"):
            raise ValueError(f"radiometry unit '{self.unit}' is unknown; expected kelvin or celsius")

    def kelvin(self, counts: Image) -> npt.NDArray[np.float32]:
        """Counts, (H, W) uint8, uint16 or float32, to kelvin, float32; NaN stays NaN."""
        return (counts * np.float64(self.scale) + self._offset_kelvin).astype(np.float32)

    def count_of(self, kelvin: float) -> float:
        """The count of a temperature, not rounded."""
        return (kelvin - self._offset_kelvin) / self.scale

    def counts(self, kelvin: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
        """Kelvin to the nearest counts, clipped to 16 bit; undoes ``kelvin`` exactly for scales down to 0.001.

        NaN becomes 0.
        """
        exact = (np.nan_to_num(kelvin.astype(np.float64), posinf=1e9, neginf=-1e9) - self._offset_kelvin) / self.scale
        return np.clip(np.rint(exact), 0, 65535).astype(np.uint16)

    def span(self, kelvin: float) -> float:
        """How many counts a difference in kelvin is; of 1 K, the least span that tone mapping should stretch."""
        return kelvin / self.scale

    @property
    def _offset_kelvin(self) -> float:
        return self.offset + (_ZERO_CELSIUS if self.unit == "celsius" else 0.0)
