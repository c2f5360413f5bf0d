"""The thermal image in the visible frame where depth is known: each visible pixel at its own distance.

A visible pixel at z metres along the visible axis is the point z r, r its ray with 1 as third coordinate. In thermal
coordinates that is R^T (z r - t), and over z it depends on 1 / z alone: R^T r - R^T t / z. Where the depth is not
known, the pixel is registered by the rig's plane, as without depth.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.lenses import distorted, monotonic_radius, straightened
from vi_fusion_ros.registration.planar import inverse, transform
from vi_fusion_ros.registration.rig import Matrix, Rig, Size, scaling
from vi_fusion_ros.types import Image

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

OUTSIDE = -2.0
"""A thermal coordinate more than one pixel outside: nothing of the image is mixed in."""

_MILLIMETRE = np.float32(1e-3)
_BLOCK_PIXELS = 30_000  # at once, in whole rows: what is computed of them stays in the processor's second cache
_WIDEST = 5.0  # tangent of the angle from the thermal axis that is looked at: 79 degrees
_SPARSE = 2  # every second row and column goes into the buffer of what is nearest
_HIDDEN_CELLS = 2.0  # cells by which a nearer surface has to be shifted against what it is to hide
_SPECK_PX = 5  # a single wrong distance hides nothing
_EDGE = 0.5 + 1e-3  # pixels: one reaches half a pixel beyond its centre; float32


def metres(depth: Image) -> Floats:
    """A depth image as (H, W) float32 metres; what is no distance (0, negative, NaN, infinite) is 0.

    Args:
        depth: (H, W) uint16 millimetres or float32 metres, as by REP 118.

    Raises:
        ValueError: it has another type, or nowhere a distance above 0; one sentence.
    """
    if depth.ndim != 2 or depth.dtype not in (np.uint16, np.float32):
        kind = f"{depth.dtype} with {1 if depth.ndim == 2 else depth.shape[-1]} channels"
        raise ValueError(f"the depth image is {kind}; expected 16UC1 (millimetres) or 32FC1 (metres)")
    if depth.dtype == np.uint16:
        distance = np.multiply(depth, _MILLIMETRE, dtype=np.float32)
    else:
        distance = np.where(np.isfinite(depth), np.maximum(depth, 0), np.float32(0))
    if not distance.any():
        raise ValueError("the depth image has no distance above 0 anywhere")
    return distance


def without_lenses(rig: Rig) -> str:
    """That a rig lacks what depth needs, and what to do."""
    return (
        f"rig {rig.source} has no intrinsics and extrinsics, which depth needs; use that of calibrate target, or "
        "camera_info"
    )


class DepthMaps:
    """Where each visible pixel lies in the thermal image, by its distance. Not thread-safe.

    Args:
        rig: with lenses and extrinsics.
        thermal_size: (width, height) of the thermal images, pixels.
        visible_size: the same of the visible ones.
        plane: for each visible pixel the thermal coordinates x and y without depth, (H, W) each, and whether they lie
            in the thermal image.

    Raises:
        ValueError: the rig has no lenses or no extrinsics; one sentence.
    """

    def __init__(self, rig: Rig, thermal_size: Size, visible_size: Size, plane: tuple[Matrix, Matrix, Flags]) -> None:
        thermal, visible, extrinsics = rig.thermal_camera, rig.visible_camera, rig.extrinsics
        if thermal is None or visible is None or extrinsics is None or rig.thermal_size is None:
            raise ValueError(without_lenses(rig))
        self._thermal_size, self._visible_size = thermal_size, visible_size
        self._plane = [np.asarray(axis, np.float32) for axis in plane[:2]]
        self._plane_inside = plane[2]
        visible_rays = _visible_rays(rig, visible_size)
        self.visible_rays = visible_rays.astype(np.float32)
        """(H, W, 3): the direction that each visible pixel looks in, 1 along the axis; read-only."""
        self.visible_rays.flags.writeable = False
        rays = visible_rays @ extrinsics.rotation  # R^T r for each r
        self._rays = np.ascontiguousarray(rays.transpose(2, 0, 1), np.float32)
        self._shift = [float(value) for value in extrinsics.rotation.T @ extrinsics.translation_m]
        matrix = scaling(rig.thermal_size, thermal_size) @ thermal.matrix
        self._focal, self._centre = matrix[[0, 1], [0, 1]].tolist(), matrix[:2, 2].tolist()
        self._thermal = thermal
        self._reach = min(monotonic_radius(thermal, np.linspace(0, _WIDEST, 2000, dtype=np.float64)), _WIDEST)
        finer = self._focal[0] / (visible.matrix[0, 0] * visible_size[0] / (rig.visible_size or visible_size)[0])
        self._cell = max(2, math.ceil(_SPARSE * finer * 1.5))  # thermal pixels; a surface leaves no cell empty
        baseline_px = self._focal[0] * math.hypot(*self._shift)
        self._nearer = _HIDDEN_CELLS * self._cell / baseline_px if baseline_px > 0 else math.inf  # 1/m

    def __call__(self, distance: Floats) -> tuple[Floats, Floats, Flags]:
        """The thermal coordinates of each visible pixel.

        Args:
            distance: (H, W) metres along the visible axis, of the visible size; 0 where it is not known.

        Returns:
            x and y, thermal pixels within the image, ``OUTSIDE`` elsewhere, (H, W) float32; and whether the pixel shows
            something that the thermal camera sees: it lies in the image, and nothing nearer is in front of it.

        Raises:
            ValueError: the depth image has another size; one sentence.
        """
        height, width = distance.shape
        if (width, height) != self._visible_size:
            expected = f"{self._visible_size[0]}x{self._visible_size[1]}"
            raise ValueError(
                f"the depth image has {width}x{height} pixels; expected {expected}, registered to the visible image"
            )
        x, y, closeness = (np.empty(distance.shape, np.float32) for _ in range(3))
        inside = np.empty(distance.shape, np.bool_)
        block = max(1, _BLOCK_PIXELS // width)
        for first in range(0, height, block):
            rows = slice(first, first + block)
            x[rows], y[rows], inside[rows], closeness[rows] = self._project(distance[rows], rows)
        hidden = self._hidden(x, y, closeness)
        x[hidden] = y[hidden] = OUTSIDE
        inside[hidden] = False
        return x, y, inside

    def _project(self, distance: Floats, rows: slice) -> tuple[Floats, Floats, Flags, Floats]:
        """As ``__call__`` for some rows, without what hides what; and 1 / distance along the thermal axis.

        The latter is 0 where the distance is not known, or the pixel's point not in the thermal image.
        """
        known = distance > 0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inverse_depth = np.reciprocal(distance)
            across, down, ahead = (
                ray[rows] - inverse_depth * shift for ray, shift in zip(self._rays, self._shift, strict=True)
            )
            over = 1 / ahead
            across *= over
            down *= over
            inside = known & (ahead > 0) & (across * across + down * down <= self._reach**2)
            inverse_depth *= over
            bent = distorted(self._thermal, across, down)
            for axis, focal, centre, side in zip(bent, self._focal, self._centre, self._thermal_size, strict=True):
                axis *= focal
                axis += centre
                inside &= (axis >= -_EDGE) & (axis <= side - 1 + _EDGE)
                np.clip(axis, 0, side - 1, out=axis)
        outside = ~inside
        x, y = bent
        for axis, value in ((x, OUTSIDE), (y, OUTSIDE), (inverse_depth, 0)):
            np.copyto(axis, np.float32(value), where=outside)
        if not known.all():
            unknown = ~known
            for axis, plane in ((x, self._plane[0]), (y, self._plane[1]), (inside, self._plane_inside)):
                np.copyto(axis, plane[rows], where=unknown)
        return x, y, inside, inverse_depth

    def _hidden(self, x: Floats, y: Floats, closeness: Floats) -> Flags:
        """Which pixels lie behind others, seen from the thermal camera; closeness is 0 where nothing is known.

        The bound is one of disparity: a nearer surface hides only what it is shifted against by ``_HIDDEN_CELLS``. So a
        slanted surface never hides itself.
        """
        if math.isinf(self._nearer):
            return np.zeros(x.shape, np.bool_)
        columns, lines = (size // self._cell + 2 for size in self._thermal_size)
        scale = np.float32(1 / self._cell)
        at_x, at_y = (np.multiply(axis + np.float32(0.5), scale) for axis in (x, y))
        few = (slice(None, None, _SPARSE),) * 2
        known = closeness[few] > 0
        cells = at_y[few][known].astype(np.int32) * columns + at_x[few][known].astype(np.int32)
        nearest = np.zeros(lines * columns, np.float32)
        np.maximum.at(nearest, cells, closeness[few][known])
        half = np.float32(0.5)  # the centre of a cell, as cv2.remap rounds
        in_front = cv2.remap(nearest.reshape(lines, columns), at_x - half, at_y - half, cv2.INTER_NEAREST)
        hidden = ((in_front > closeness + np.float32(self._nearer)) & (closeness > 0)).astype(np.uint8)
        return np.asarray(cv2.medianBlur(hidden, _SPECK_PX), np.bool_)


def _visible_rays(rig: Rig, visible_size: Size) -> Matrix:
    """(H, W, 3): the direction that each visible pixel looks in, 1 along the axis.

    What the rig's homography does beyond its plane, a correction of the drift monitor, is taken off the pixels first.
    """
    camera = rig.visible_camera
    assert camera is not None
    assert rig.visible_size is not None
    width, height = visible_size
    ys, xs = np.mgrid[:height, :width].astype(np.float64)
    points = transform(scaling(visible_size, rig.visible_size), np.stack([xs.ravel(), ys.ravel()], 1))
    straight = straightened(camera, points)
    if rig.plane_distance_m:
        straight = transform(rig.homography_at(rig.plane_distance_m) @ inverse(rig.H_thermal_to_visible), straight)
    rays = np.c_[straight, np.ones(len(straight))] @ inverse(camera.matrix).T
    return rays.reshape(height, width, 3)
