"""Where objects are, as targets for the object map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.model.perception import STRIDE

SMALLEST = 4.0
"""Pixels at half resolution of the longer side of a box, below which nobody could say what it shows."""

_CELL = STRIDE // 2
"""Pixels at half resolution in each direction that one place stands for."""

_SPREAD = 0.54 / 6
"""Standard deviation of the bell around a centre, as a share of the side of its box (TTFNet, Liu et al., AAAI 2020)."""

Mask = npt.NDArray[np.bool_]


class ObjectMap:
    """The targets of one frame.

    Attributes:
        centres: (C, h, w) float32, 1 at the centres of objects, falling around them, -1 where unknown.
        sides: (4 C, h, w) float32, distances to the left, upper, right and lower side, pixels of the full resolution.
        weight: (C, h, w) float32, 0 where no sides are to be learned.

    Args:
        size: (height, width) of the frame at half resolution, multiples of 16.
        absent: (C,) bool, labels that are known to be nowhere but where an object is added.
    """

    def __init__(self, size: tuple[int, int], absent: Mask) -> None:
        height, width = size[0] // _CELL, size[1] // _CELL
        start = np.where(absent, 0, -1).astype(np.float32)
        self.centres = np.broadcast_to(start[:, None, None], (len(absent), height, width)).copy()
        self.sides = np.zeros((4 * len(absent), height, width), np.float32)
        self.weight = np.zeros_like(self.centres)
        self._area = np.full_like(self.centres, np.inf)

    def add(self, label: int, x0: float, y0: float, x1: float, y1: float) -> None:
        """An object of ``label`` in a box given in pixels at half resolution."""
        _, height, width = self.centres.shape
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        column, row = int(cx // _CELL), int(cy // _CELL)
        if not (0 <= column < width and 0 <= row < height):
            return
        xs = (np.arange(width) + 0.5) * _CELL
        ys = (np.arange(height) + 0.5) * _CELL
        sx, sy = (max(_SPREAD * (b - a), 0.3 * _CELL) for a, b in ((x0, x1), (y0, y1)))
        dx, dy = xs - xs[column], ys - ys[row]
        bell = np.exp(-(dx**2) / (2 * sx**2))[None] * np.exp(-(dy**2) / (2 * sy**2))[:, None]
        bell[bell < 0.05] = 0
        bell = bell.astype(np.float32)
        here = self.centres[label]
        np.maximum(here, bell, out=here, where=bell > 0)
        near = bell >= 0.4
        smaller = near & ((x1 - x0) * (y1 - y0) < self._area[label])
        self._area[label][smaller] = (x1 - x0) * (y1 - y0)
        grid = np.broadcast_arrays(xs[None] - x0, ys[:, None] - y0, x1 - xs[None], y1 - ys[:, None])
        for number, distance in enumerate(grid):
            self.sides[4 * label + number][smaller] = np.maximum(distance[smaller], 0.5) * 2
        self.weight[label][smaller] = bell[smaller]

    def ignore(self, labels: slice, x0: float, y0: float, x1: float, y1: float, keep_objects: bool = True) -> None:
        """What is in this box, in pixels at half resolution, is unknown for these labels."""
        rows = slice(max(int(y0 // _CELL), 0), max(int(-(-y1 // _CELL)), 0))
        columns = slice(max(int(x0 // _CELL), 0), max(int(-(-x1 // _CELL)), 0))
        region = self.centres[labels, rows, columns]
        region[region < 0.5 if keep_objects else np.full(region.shape, True)] = -1
        if not keep_objects:
            self.weight[labels, rows, columns] = 0

    def flip(self) -> None:
        """Mirror left and right."""
        self.centres, self.weight = self.centres[..., ::-1], self.weight[..., ::-1]
        sides = self.sides.reshape(-1, 4, *self.sides.shape[1:])[..., ::-1]
        self.sides = sides[:, [2, 1, 0, 3]].reshape(self.sides.shape)
