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

# FLIR Boson. Its datasheet (102-2013-40) was out of reach. Two public programs have a status at byte 76, before the
# frame counter: Boson640Telemetry.java of Elphel's imagej-elphel, and boson_splitter_node.cpp, a ROS 2 node, which
# quotes the datasheet on the bits. One of Videology finds such bytes one to a pixel, a packing that the camera offers.
_BOSON_STATUS_BYTE = 76  # of the first row; the FFC state is its bits 0 and 1, in the words of the Lepton
_NEVER = 0


def _lepton(row: Image) -> bool:
    return (int(row[_STATUS_WORD]) >> _FFC_STATE_BIT) & 3 == _IN_PROGRESS


def _boson(row: Image) -> bool | None:
    bytewise = int(row.max()) < 256  # the camera's packing; with two bytes in a pixel the part number is larger
    state = int(row[_BOSON_STATUS_BYTE if bytewise else _BOSON_STATUS_BYTE // 2]) & 3
    # A camera that has never made a correction says nothing, nor does a row that is none of a Boson's.
    return None if state == _NEVER else state == _IN_PROGRESS


_READERS: dict[str, tuple[Callable[[Image], bool | None], int]] = {
    "lepton": (_lepton, _STATUS_WORD + 1),
    "boson": (_boson, _BOSON_STATUS_BYTE + 1),
}  # what reads a row, and the pixels that it has to have


@dataclass(frozen=True)
class Telemetry:
    """How the telemetry of a thermal camera is read.

    Attributes:
        kind: ``none``, ``lepton`` or ``boson``.
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
        if self.kind not in _READERS or image.dtype != np.uint16 or image.ndim != 2:
            return None
        read, pixels = _READERS[self.kind]
        if image.shape[0] <= abs(self.rows) or image.shape[1] < pixels:
            return None
        return read(image[-self.rows if self.rows > 0 else 0])
