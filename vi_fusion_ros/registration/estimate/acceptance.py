"""Which rig is worth a file: only one that beats plain rescaling, and the rig that the file holds already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.types import Image

_ENOUGH_UNSEEN = 3

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RigEvidence:
    """How a new rig and others do on the images or points at hand, (n,) figures each.

    Attributes:
        unit: ``px`` (an error: less is better) or ``similarity`` (more is better).
        keys: tells which of them a rig in a file was made from, as its ``made["inputs"]`` say.
        start: with plain rescaling to equal width.
        held_back: with the new rig made without the one in question.
        fitted: with the new rig, which was made from all.
        of: the same figures for another rig.
    """

    unit: str
    keys: tuple[str, ...]
    start: Figures
    held_back: Figures
    fitted: Figures
    of: Callable[[Rig], Figures]

    def require_better_than_start(self) -> None:
        """Refuse a rig that is no better than plain rescaling on what was held back.

        Raises:
            ValueError: it is not.
        """
        new, start = float(np.mean(self.held_back)), float(np.mean(self.start))
        if not self._better(new, start):
            raise ValueError(
                f"the calibration is no better than plain rescaling ({self._say(new)} on what was held back, "
                f"{self._say(start)} without it); give more images with structure that both cameras see, or more points"
            )

    def require_better_than_file(self, path: Path) -> Rig | None:
        """The rig that a file holds, None without one; refuse a new one that is no better.

        They are compared on what neither of them was made from. Where there is next to nothing of it, because the old
        rig was made from the same, both are compared on what they were made from.

        Raises:
            ValueError: the file's rig is as good or better, or the file is no rig file; it stays.
        """
        if not path.exists():
            return None
        rig = Rig.load(path)
        known = set(map(str, rig.made.get("inputs") or ()))
        unseen = np.array([key not in known for key in self.keys])
        try:
            old = self.of(rig)
        except ValueError:  # for images of other sizes: not the same rig
            raise ValueError(f"{path} is for images of other sizes and stays; name another file") from None
        if unseen.sum() >= min(_ENOUGH_UNSEEN, len(unseen)):
            ours, theirs = float(np.mean(self.held_back[unseen])), float(np.mean(old[unseen]))
        else:
            ours, theirs = float(np.mean(self.fitted)), float(np.mean(old))
        if not self._better(ours, theirs):
            raise ValueError(
                f"{path} stays: its rig fits as well or better ({self._say(theirs)}) than the new one "
                f"({self._say(ours)})"
            )
        return rig

    def _better(self, one: float, other: float) -> bool:
        if not np.isfinite(one):
            return False
        return not np.isfinite(other) or (one < other if self.unit == "px" else one > other)

    def _say(self, figure: float) -> str:
        return f"{figure:.2f} px" if self.unit == "px" else f"similarity {figure:.3f}"


def inherited(new: Rig, old: Rig | None) -> Rig:
    """A new rig with what only an old one knows: time offset, radiometry and notes."""
    if old is None:
        return new
    return replace(
        new,
        time_offset_ms=old.time_offset_ms,
        time_offset_uncertainty_ms=old.time_offset_uncertainty_ms,
        radiometry=old.radiometry,
        notes=old.notes,
    )


def require_surer_offset(path: Path, rig: Rig, offset_ms: float, uncertainty_ms: float, period_ms: float) -> None:
    """Refuse a time offset that is not worth a file.

    Args:
        path: of the rig file, for what is said.
        rig: as it is in the file.
        offset_ms: the new offset.
        uncertainty_ms: its standard deviation.
        period_ms: from frame to frame of the slower camera.

    Raises:
        ValueError: it is uncertain by more than half a frame, or less certain than the one in the file.
    """
    found = f"{offset_ms:.1f} ± {uncertainty_ms:.1f} ms"
    if uncertainty_ms > period_ms / 2:
        raise ValueError(
            f"{path} stays: the time offset, {found}, is uncertain by more than half a frame; record longer, with more "
            "that moves"
        )
    known = rig.time_offset_uncertainty_ms
    if known is not None and known < uncertainty_ms:
        raise ValueError(
            f"{path} stays: its time offset, {rig.time_offset_ms:.1f} ± {known:.1f} ms, is more certain than the new "
            f"one, {found}; delete it there if the cameras have changed"
        )


def key_of(*images: Image) -> str:
    """Eight hexadecimal digits that tell whether images are the same as before."""
    digest = hashlib.sha1(usedforsecurity=False)
    for image in images:
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:8]
