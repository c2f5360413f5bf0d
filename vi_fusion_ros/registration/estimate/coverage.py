"""Where a board has been in the images, and where it should be shown next."""

from __future__ import annotations

import cv2
import numpy as np

from vi_fusion_ros.registration.estimate.boards import Board, Detection
from vi_fusion_ros.registration.planar import Points, transform
from vi_fusion_ros.registration.rig import Size

PLACES = (
    ("upper left", "above", "upper right"),
    ("left", "in the middle", "right"),
    ("lower left", "below", "lower right"),
)
"""Names of the ninths of an image, from the upper left."""

_TILTED = 1.08  # a side of the board beside the opposite one
_ENOUGH_TILTED = 3  # views, to the side and up or down each
_DEPTH = 1.25  # the largest beside the smallest board
_NAMED = 3  # places at once


class Coverage:
    """What views of a board say of the lenses: all over the image, tilted, at several distances.

    Args:
        board: what they show.
        sizes: (width, height) of the thermal and the visible image.
    """

    def __init__(self, board: Board, sizes: tuple[Size, Size]) -> None:
        self._board, self._sizes = board, sizes
        self._seen = tuple(np.zeros((3, 3), bool) for _ in sizes)
        self._tilted = [0, 0]
        self._lengths: list[float] = []
        self.views = 0
        """So many were added."""

    def add(self, thermal: Detection, visible: Detection) -> None:
        """Take in what both cameras see of the board at one moment."""
        self.views += 1
        for seen, size, found in zip(self._seen, self._sizes, (thermal, visible), strict=True):
            column, row = np.clip(found.points.T * 3 / np.array([size]).T, 0, 2).astype(int)
            seen[row, column] = True
        outline = self._outline(thermal)
        if outline is None:
            return
        above, right, below, left = (float(np.linalg.norm(outline[k] - outline[k - 1])) for k in range(1, 5))
        for axis, (one, other) in enumerate(((left, right), (above, below))):
            self._tilted[axis] += max(one, other) > _TILTED * min(one, other)
        self._lengths.append(above + right + below + left)

    @property
    def missing(self) -> str:
        """What views would still help, part of a sentence; empty where they show all.

        Places are those of the image that the board has filled best: where one camera sees more than the other, nobody
        can show the board to both at the border of what it sees.
        """
        seen = max(self._seen, key=lambda one: int(one.sum()))
        places = [PLACES[row][column] for row, column in np.argwhere(~seen)]
        parts = []
        if places:
            more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
            parts.append(f"the board {', '.join(places[:_NAMED])}{more}")
        sides = ("to a side", "up or down")
        tilts = [side for side, count in zip(sides, self._tilted, strict=True) if count < _ENOUGH_TILTED]
        if tilts:
            parts.append(f"it turned {' and '.join(tilts)}")
        if not self._lengths or max(self._lengths) < _DEPTH * min(self._lengths):
            parts.append("it nearer and further away")
        return "; ".join(parts)

    def _outline(self, found: Detection) -> Points | None:
        """The board's corners in the image, clockwise and the first one again (5, 2); None where points are too few."""
        flat = self._board.points_m[:, :2]
        matrix, _ = cv2.findHomography(flat[found.ids], found.points)
        if matrix is None:
            return None
        (left, top), (right, bottom) = flat.min(0), flat.max(0)
        around = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        return transform(np.asarray(matrix, np.float64), np.array(around))
