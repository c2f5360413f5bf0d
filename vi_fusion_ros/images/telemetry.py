"""What a thermal camera says of itself in the rows of numbers that it sends with each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vi_fusion_ros.types import Image

# FLIR Lepton Engineering Datasheet 500-0659-00-09, table 3.
_STATUS_WORD = 3  # of the first row: the low half of the status
_FFC_STATE_BIT = 4  # and the next one: 0 never commanded, 1 imminent, 2 in progress, 3 complete
_IN_PROGRESS = 2


def _lepton(row: Image) -> bool:
    return (int(row[_STATUS_WORD]) >> _FFC_STATE_BIT) & 3 == _IN_PROGRESS


_READERS: dict[str, Callable[[Image], bool]] = {"lepton": _lepton}
_LONGEST = _STATUS_WORD + 1


@dataclass(frozen=True)
class Telemetry:
    """How the telemetry of a thermal camera is read.

    Attributes:
        kind: ``none`` or ``lepton``.
        rows: how many there are at the bottom of an image; negative: at the top.
    """

    kind: str = "none"
    rows: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Telemetry:
        """That of the parameters ``thermal.telemetry`` and ``thermal.telemetry_rows``.

        Raises:
            ValueError: there are no rows to be read; one sentence.
        """
        kind, rows = settings["thermal.telemetry"], settings["thermal.telemetry_rows"]
        if kind != "none" and not rows:
            raise ValueError(
                f"parameter thermal.telemetry is {kind}, but thermal.telemetry_rows is 0; expected how many rows there "
                "are"
            )
        return cls(kind, rows)

    def shutter_closed(self, image: Image) -> bool | None:
        """Whether the camera says that its shutter is closed; None where it says nothing.

        Args:
            image: as received, with its telemetry: (H, W) uint16; others have none that could be read.
        """
        read = _READERS.get(self.kind)
        if read is None or image.dtype != np.uint16 or image.ndim != 2:
            return None
        if image.shape[0] <= abs(self.rows) or image.shape[1] < _LONGEST:
            return None
        return read(image[-self.rows if self.rows > 0 else 0])
