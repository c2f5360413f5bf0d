"""What many frames say about a small misregistration: matching scores of patches, summed up over time.

Every patch of the thermal image is tried at every displacement over the visible one. A patch's scores become the odds
of each displacement against all of them alike, so that plain ground, ridges and repetitions say as little as they know,
and a patch that is wrong altogether costs only so much (a mixture with outliers). The sum of log odds over the patches
is the evidence for a shift, rotation and scale that moves them all, in nats a patch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.structure import Structure, surfaces

Values = npt.NDArray[np.float64]

SMOOTHING_PX = 0.6
"""Of the structures that are compared. With the 1 px of calibration, clips with regions that no similarity brings
together were drawn off by them: 3 px at the corners of 640, against 1 px with this."""

LEVEL_WIDTH = 320
"""Width that images are compared at, pixels ("level pixels" below)."""

LIMITS = np.array([8.0, 8.0, 7.0, 4.0])
"""The trust region: shift in x and y, and what rotation and scale move a corner by, level pixels. In an image of
640x480: 16 px, 2 degrees, 2 %."""

_HALF, _REACH, _STEP = 22, 14, 40  # of a patch, level pixels
_SHARPNESS = 60.0  # what a score is worth: odds of e for 0.017 of correlation
_INLIERS = 0.7
_BLUR = 0.4  # of the odds, level pixels: parallax and lenses move patches a little
_MORE_FREEDOM = 1.1  # rotation has to explain that much more, and scale that much more again
_GRID = (np.arange(-8.0, 8.1, 2.0), np.arange(-8.0, 8.1, 2.0), np.arange(-6.0, 6.1, 2.0))
_ROUGH = 1.0  # level pixels that evidence is smoothed by for the grid, which is coarse
_FIRST_STEP, _LAST_STEP = 1.0, 0.05
_AROUND = np.arange(-1, 3)  # the four neighbours of a place between the second and the third


class MotionEvidence:
    """Log odds of displacements of patches, (n, 29, 29), and the search for the motion that they agree on.

    Args:
        scores: (n, 29, 29) from ``patch_scores``, of one frame or a mean over many.
        shape: (height, width) at the level.
        pause: called now and then during a search.
    """

    def __init__(self, scores: Values, shape: tuple[int, int], pause: Callable[[], None] = lambda: None) -> None:
        self._pause = pause
        self._scores = scores
        self._basis = _basis(shape)
        rows, columns = (len(np.unique(axis)) for axis in patch_centres(shape).T)
        chessboard = np.indices((rows, columns)).sum(0).ravel() % 2 == 0
        self._halves = (np.flatnonzero(chessboard), np.flatnonzero(~chessboard))

    @cached_property
    def _odds(self) -> Values:  # made when first asked for: of the newest frame alone they are hardly ever
        return np.stack([_log_odds(surface) for surface in self._scores])

    @cached_property
    def _rough(self) -> Values:
        return np.stack([cv2.GaussianBlur(table, (0, 0), _ROUGH) for table in self._odds])

    def of(self, motion: Values) -> float:
        """The evidence for a motion (dx, dy, rotation, scale), level pixels at a corner; nats a patch."""
        return float(self._mean(motion[None], np.arange(len(self._scores)))[0])

    def best(self) -> Values:
        """The motion with the most evidence, (4,); rotation and scale stay 0 where they explain little."""
        return self._best(np.arange(len(self._scores)))

    def held_back(self) -> float:
        """Evidence of one half of the patches for the best motion of the other half; the lower of both ways."""
        one, other = self._halves
        ways = ((one, other), (other, one))
        return min(float(self._mean(self._best(fitted)[None], judging)[0]) for fitted, judging in ways)

    def _best(self, patches: npt.NDArray[np.int64]) -> Values:
        climbed = [self._climb(start, patches) for start in self._starts(patches)]
        worth = [evidence / _MORE_FREEDOM**more for more, (_, evidence) in enumerate(climbed)]
        return climbed[int(np.argmax(worth))][0]

    def _starts(self, patches: npt.NDArray[np.int64]) -> list[tuple[Values, int]]:
        """Where to climb from, and how many of the four freedoms to use: the fewest first."""
        motions = np.array(list(itertools.product(*_GRID)))
        motions = np.concatenate([motions, np.zeros((len(motions), 1))], 1)
        rough = np.rint(self._displacements(motions, patches)).astype(int)
        at = np.clip(rough + _REACH, 0, 2 * _REACH)
        evidence = self._rough[patches[None], at[..., 1], at[..., 0]].mean(1)
        level = motions[:, 2] == 0
        shift, turned = (motions[np.argmax(np.where(allowed, evidence, -np.inf))] for allowed in (level, level | True))
        return [(shift, 2), (turned, 3), (turned, 4)]

    def _climb(self, start: tuple[Values, int], patches: npt.NDArray[np.int64]) -> tuple[Values, float]:
        motion, freedoms = start
        evidence = float(self._mean(motion[None], patches)[0])
        step = _FIRST_STEP
        while step >= _LAST_STEP:
            self._pause()
            moves = step * np.eye(4)[:freedoms]
            tried = np.clip(np.concatenate([motion + moves, motion - moves]), -LIMITS, LIMITS)
            found = self._mean(tried, patches)
            if found.max() > evidence:
                motion, evidence = tried[found.argmax()], float(found.max())
            else:
                step /= 2
        return motion, evidence

    def _displacements(self, motions: Values, patches: npt.NDArray[np.int64]) -> Values:
        return np.asarray(np.tensordot(motions, self._basis[:, patches], 1))

    def _mean(self, motions: Values, patches: npt.NDArray[np.int64]) -> Values:
        return np.asarray(_sampled(self._odds, patches, self._displacements(motions, patches)).mean(1))


def patch_scores(
    visible: Structure, thermal: Structure, inside: npt.NDArray[np.bool_], pause: Callable[[], None] = lambda: None
) -> Values:
    """Score of each patch at each displacement, (n, 29, 29); both structures of ``LEVEL_WIDTH``.

    Args:
        visible: (H, W) complex.
        thermal: (H, W) complex, in the visible frame; the patches are cut from it.
        inside: (H, W), where it has data.
        pause: called every few patches.
    """
    margin = _HALF + _REACH
    cover = np.pad(inside.astype(np.float32), margin)
    moved = np.pad(np.asarray(thermal * inside, np.complex64), margin)
    centres = patch_centres(visible.shape) + margin
    return surfaces(np.pad(visible, margin), moved, cover, centres, _HALF, _REACH, pause)


def patch_centres(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """(n, 2) (row, column) of the patches of an image of (height, width), row by row."""
    rows, columns = (
        np.arange(_HALF // 2 + (side - _HALF - 1) % _STEP // 2, side - _HALF // 2, _STEP) for side in shape
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


def motion_matrix(motion: Values, size: tuple[int, int]) -> Values:
    """A motion as a matrix, (3, 3), for pixels (x, y, 1) of an image of (width, height), whatever its size."""
    width, height = size
    per_level = width / LEVEL_WIDTH
    corner = math.hypot(width, height) / 2
    dx, dy, turn, grow = motion * per_level
    a, b = 1 + grow / corner, turn / corner
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[a, -b, x + dx - a * x + b * y], [b, a, y + dy - b * x - a * y], [0, 0, 1]])


def _basis(shape: tuple[int, int]) -> Values:
    """Where one level pixel of each freedom takes the patches, (4, n, 2), (x, y)."""
    rows, columns = patch_centres(shape).T.astype(np.float64) - 0.5  # the middle of an even patch
    x, y = columns - (shape[1] - 1) / 2, rows - (shape[0] - 1) / 2
    corner = math.hypot(*shape) / 2
    one, none = np.ones_like(x), np.zeros_like(x)
    pairs = ((one, none), (none, one), (-y / corner, x / corner), (x / corner, y / corner))
    return np.stack([np.stack(pair, -1) for pair in pairs])


def _log_odds(surface: Values) -> Values:
    odds = np.exp(_SHARPNESS * (surface - surface.max()))
    odds = cv2.GaussianBlur(odds / odds.mean(), (0, 0), _BLUR, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.log(1 - _INLIERS + _INLIERS * odds))


def _sampled(tables: Values, patches: npt.NDArray[np.int64], displacements: Values) -> Values:
    """Values of n of the (m, 29, 29) tables at displacements (k, n, 2), (x, y), by Catmull-Rom splines, (k, n)."""
    at = np.clip(displacements + _REACH, 1, 2 * _REACH - 1.001)
    whole = np.floor(at).astype(int)
    weights = _spline(at - whole)
    around_at = whole[..., None] + _AROUND
    around = tables[patches[:, None, None], around_at[..., 1, :, None], around_at[..., 0, None, :]]
    return np.asarray(np.einsum("kny,knyx,knx->kn", weights[..., 1, :], around, weights[..., 0, :]))


def _spline(t: Values) -> Values:
    """Weights of four neighbours at a share t of the way from the second to the third, (..., 4)."""
    weights = (t * (t * (2 - t) - 1), t * t * (3 * t - 5) + 2, t * (t * (4 - 3 * t) + 1), t * t * (t - 1))
    return np.stack(weights, -1) / 2
