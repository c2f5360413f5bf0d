"""Points through lenses: from the thermal picture as it comes to the visible one as it comes, and back to straight."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.registration.planar import Points, transform
from vi_fusion_ros.registration.rig import Camera, Matrix, Rig

_undistort: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 has one function for both


def straightened(camera: Camera | None, points: Points) -> Points:
    """Where points (n, 2), (x, y), of a picture would be if its lens had no distortion; without a lens as they are."""
    if camera is None or not len(points):
        return np.asarray(points, np.float64)
    matrix = camera.matrix
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)  # the default stops after five steps
    flat = np.asarray(points, np.float64).reshape(-1, 1, 2)
    undistorted = _undistort(flat, matrix, camera.distortion, R=None, P=matrix, criteria=criteria)
    return np.asarray(undistorted.reshape(-1, 2))


def bent(camera: Camera | None, points: Points) -> Points:
    """Where the lens puts undistorted points (n, 2), (x, y); undoes ``straightened``."""
    if camera is None or not len(points):
        return np.asarray(points, np.float64)
    rays = np.c_[points, np.ones(len(points))] @ np.linalg.inv(camera.matrix).T
    return np.stack(pixels(camera.matrix, *distorted(camera.distortion, *rays[:, :2].T)), -1)


def distorted(coefficients: Matrix, x: Any, y: Any) -> tuple[Any, Any]:
    """Where a lens puts rays (x, y, 1), in the same units; ``cv2.projectPoints`` does the same in ten times the time.

    Args:
        coefficients: (4,), (5,) or (8,), in OpenCV's order: k1, k2, p1, p2, k3, k4, k5, k6.
        x: any shape, to the right, float64 or float32, which the result has, too.
        y: the same shape, down.
    """
    # Python's numbers leave float32 as it is.
    k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(np.asarray(coefficients, np.float64), (0, 8 - len(coefficients))).tolist()
    r2, xy2 = x * x + y * y, 2 * x * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if k4 or k5 or k6:
        radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return x * radial + p1 * xy2 + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + p2 * xy2


def monotonic_radius(camera: Camera, radii: Matrix) -> float:
    """The first of rising distances from the axis (n,), those of rays with z = 1, at which the lens folds back."""
    moved, _ = distorted(camera.distortion, radii, np.zeros_like(radii))
    falling = np.flatnonzero(np.diff(moved) <= 0)
    return float(radii[falling[0]]) if len(falling) else math.inf


def pixels(matrix: Matrix, x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Rays (x, y, 1) through a camera matrix (3, 3), pixels. As in OpenCV its skew counts for nothing."""
    return matrix[0, 0] * x + matrix[0, 2], matrix[1, 1] * y + matrix[1, 2]


def to_visible(rig: Rig, points: Points, homography: Matrix | None = None) -> Points:
    """Where points of the thermal picture lie in the visible one, lenses included.

    Args:
        rig: with images of the sizes that it was made for.
        points: (n, 2), (x, y), thermal pixels.
        homography: (3, 3) to use in place of the rig's own, for another distance.

    Returns:
        (n, 2), visible pixels.
    """
    matrix = rig.H_thermal_to_visible if homography is None else homography
    return bent(rig.visible_camera, transform(matrix, straightened(rig.thermal_camera, points)))
