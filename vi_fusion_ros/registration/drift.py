"""The drift monitor: whether the registration still holds, and small corrections where it does not. Free of ROS.

docs/registration.md explains the rules and what was measured.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.evidence import (
    LEVEL_WIDTH,
    LIMITS,
    SMOOTHING_PX,
    MotionEvidence,
    Values,
    motion_matrix,
    patch_scores,
)
from vi_fusion_ros.registration.planar import corner_error
from vi_fusion_ros.registration.rig import Matrix, Rig, Size, scaling
from vi_fusion_ros.registration.structure import Structure, grey8, structure
from vi_fusion_ros.registration.warp import Registration
from vi_fusion_ros.types import Image

_MEMORY_S = 4.0  # older frames fade: after a knock the new position outweighs the old one in three seconds
_LEAST_EVIDENCE = 0.5  # nats a patch, held back; docs/registration.md has what pairs that fit and that do not reach
_LEAST_GAIN = 1.25  # over what applies; at 2.5 px of 640 that is reached
_TOLERANCE = 0.5  # level pixels at the corners; 1 px of 640
_STEADY = 0.75  # level pixels; proposals that differ by more are not the same
_PATIENCE = 4  # that many proposals in a row have to agree
_PATIENCE_S = 1.5  # and span that long
_SEAM_PX = 9  # next to the edge of the thermal image there is no structure but the edge


class DriftState(enum.Enum):
    """What the monitor says of the registration."""

    OFF = "off"
    STARTING = "starting"  # no pair yet
    UNSURE = "unsure"  # the images share too little structure to tell
    HOLDS = "holds"
    DRIFTED = "drifted"  # it is off, and not corrected
    CORRECTED = "corrected"  # it was off, and the correction holds


@dataclass(frozen=True, eq=False)
class DriftReport:
    """What is known after a pair.

    Attributes:
        state: the verdict.
        residual_px: how far the registration that applies is off: mean of the corners, visible pixels; NaN: not known.
        confidence: 0 to 1: how well patches that were held back agree. 0.4 is where UNSURE ends.
        correction: that applies: (3, 3), takes visible pixels of the rig file's registration to better ones.
        shift_px: of the correction, at the image centre, (x, y), visible pixels.
        rotation_deg: of the correction, clockwise in the image.
        scale: of the correction; 1 is none.
        changed: whether this pair changed the correction.
        out_of_reach: whether the registration seems to be off by more than may be corrected.
    """

    state: DriftState
    residual_px: float = math.nan
    confidence: float = 0.0
    correction: Matrix | None = None
    shift_px: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    scale: float = 1.0
    changed: bool = False
    out_of_reach: bool = False


class DriftMonitor:
    """Watches a registration and, where it is asked to, corrects it by a shift, a rotation and a scale.

    A correction needs all of this: enough evidence on patches held back, a quarter more of it than what applies has,
    and both for some proposals in a row that agree, each of them borne out by its newest pair alone. It stays
    within a trust region of 2.5 % of the width, 2 degrees and 2 %. Without evidence nothing moves; a correction that
    the rig file beats is taken back. Free of clocks; not thread-safe. A pair costs tens of ms of one core, whatever its
    size.

    Args:
        rig: the registration that is watched.
        correct: whether to correct, or to watch only.
        pause: called every few ms of work, so that others may go first.
    """

    def __init__(self, rig: Rig, correct: bool, pause: Callable[[], None] = lambda: None) -> None:
        self._rig, self._correct, self._pause = rig, correct, pause
        self._registration = Registration(rig)
        self._sizes: tuple[Size, Size] | None = None
        self._correction: Values = np.zeros(4)
        self._worse = 0
        self.reset()

    def reset(self) -> None:
        """Forget the frames, as at a jump in time; the correction stays."""
        self._scores: Values | None = None
        self._stamp_s = -math.inf
        self._streak = _Streak()

    def update(self, visible: Image, thermal: Image, stamp_s: float) -> DriftReport:
        """Take in a pair, one or two a second.

        Args:
            visible: (H, W) or (H, W, 3), any depth.
            thermal: (h, w), as it comes from the camera, any depth.
            stamp_s: of the pair, seconds; a jump back starts anew.

        Raises:
            ValueError: the sizes do not fit the rig.
        """
        sizes = (visible.shape[1], visible.shape[0]), (thermal.shape[1], thermal.shape[0])
        if stamp_s < self._stamp_s or sizes != self._sizes:
            self.reset()
            self._sizes = sizes
        newest = self._compared(visible, thermal)
        shape = (max(round(visible.shape[0] * LEVEL_WIDTH / visible.shape[1]), 1), LEVEL_WIDTH)
        fresh = 1.0 if self._scores is None else 1 - math.exp(-(stamp_s - self._stamp_s) / _MEMORY_S)
        self._scores = newest if self._scores is None else self._scores + fresh * (newest - self._scores)
        self._stamp_s = stamp_s
        together, alone = (MotionEvidence(scores, shape, self._pause) for scores in (self._scores, newest))
        return self._judge(together, alone, shape)

    def corrected(self) -> Rig:
        """The rig with the correction in it; without a correction the rig itself.

        Its sizes stay those of the rig, for its lenses are of these; a rig without sizes gets those of the latest pair.
        """
        rig = self._rig
        if self._sizes is None or not self._correction.any():
            return rig
        if rig.thermal_size is None or rig.visible_size is None:  # its lenses count for nothing, and so it stays
            visible_size, thermal_size = self._sizes
            homography = scaling(thermal_size, visible_size)
            rig = replace(
                rig, thermal_size=thermal_size, visible_size=visible_size, thermal_camera=None, visible_camera=None
            )
        else:
            visible_size, homography = rig.visible_size, rig.H_thermal_to_visible
        return replace(rig, H_thermal_to_visible=motion_matrix(self._correction, visible_size) @ homography)

    def _compared(self, visible: Image, thermal: Image) -> Values:
        size = (LEVEL_WIDTH, max(round(visible.shape[0] * LEVEL_WIDTH / visible.shape[1]), 1))
        shrink = max(thermal.shape[1] // LEVEL_WIDTH, 1)
        small = cv2.resize(
            thermal, (thermal.shape[1] // shrink, thermal.shape[0] // shrink), interpolation=cv2.INTER_AREA
        )
        registered, mask, _ = self._registration.apply(grey8(small), size)
        inside = cv2.erode(mask, np.ones((_SEAM_PX, _SEAM_PX), np.uint8), borderValue=255) > 0
        self._pause()
        seen = structure(grey8(cv2.resize(visible, size, interpolation=cv2.INTER_AREA)), SMOOTHING_PX)
        self._pause()
        return patch_scores(seen, _without_edge(registered, mask), inside, self._pause)

    def _judge(self, together: MotionEvidence, newest: MotionEvidence, shape: tuple[int, int]) -> DriftReport:
        held_back = together.held_back()
        if held_back < _LEAST_EVIDENCE:
            self._streak = _Streak()
            return self._report(DriftState.UNSURE, math.nan, held_back)
        proposal = together.best()
        changed = self._take_back(together) or self._propose(proposal, together, newest, shape)
        off = _distance(proposal, self._correction, shape)
        state = DriftState.CORRECTED if self._correction.any() else DriftState.HOLDS
        if self._streak.steady:
            state = DriftState.DRIFTED
        return replace(self._report(state, off, held_back), changed=changed, out_of_reach=_at_limit(proposal))

    def _take_back(self, together: MotionEvidence) -> bool:
        """Never worse than the file."""
        worse = self._correction.any() and together.of(np.zeros(4)) >= together.of(self._correction)
        self._worse = self._worse + 1 if worse else 0
        if self._worse < _PATIENCE:
            return False
        self._correction, self._worse = np.zeros(4), 0
        return True

    def _propose(
        self, proposal: Values, together: MotionEvidence, newest: MotionEvidence, shape: tuple[int, int]
    ) -> bool:
        better = (
            _distance(proposal, self._correction, shape) > _TOLERANCE
            and together.of(proposal) > _LEAST_GAIN * max(together.of(self._correction), 0.0)
            and newest.of(proposal) > newest.of(self._correction)
        )
        last = self._streak.last
        if not better or (last is not None and _distance(proposal, last, shape) > _STEADY):
            self._streak = _Streak()
        if better:
            self._streak.add(proposal, self._stamp_s)
        if not (self._correct and self._streak.steady) or _at_limit(proposal):
            return False
        self._correction, self._streak = proposal, _Streak()
        return True

    def _report(self, state: DriftState, off: float, held_back: float) -> DriftReport:
        assert self._sizes is not None
        (width, height), _ = self._sizes
        per_level = width / LEVEL_WIDTH
        correction = motion_matrix(self._correction, (width, height))
        return DriftReport(
            state,
            off * per_level,
            1 - math.exp(-max(held_back, 0.0)),
            correction,
            (float(self._correction[0]) * per_level, float(self._correction[1]) * per_level),
            math.degrees(math.atan2(correction[1, 0], correction[0, 0])),
            float(math.hypot(correction[0, 0], correction[1, 0])),
        )


@dataclass
class _Streak:
    """Proposals in a row that agree."""

    last: Values | None = None
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, proposal: Values, stamp_s: float) -> None:
        if not self.count:
            self.first_s = stamp_s
        self.last, self.last_s = proposal, stamp_s
        self.count += 1

    @property
    def steady(self) -> bool:
        return self.count >= _PATIENCE and self.last_s - self.first_s >= _PATIENCE_S


def _at_limit(motion: Values) -> bool:
    return bool(np.any(np.abs(motion) >= LIMITS - 0.1))


def _distance(one: Values, other: Values, shape: tuple[int, int]) -> float:
    """Mean distance of the corners under two motions, level pixels."""
    size = (shape[1], shape[0])
    return corner_error(motion_matrix(one, size), motion_matrix(other, size), size)


def _without_edge(registered: npt.NDArray[np.float32], mask: npt.NDArray[np.uint8]) -> Structure:
    """Structure of an image that ends inside the frame, without that of its own edge."""
    if not mask.all():
        registered = registered.copy()
        registered[mask == 0] = np.median(registered[mask > 0]) if mask.any() else 0.0
    return structure(registered, SMOOTHING_PX)
