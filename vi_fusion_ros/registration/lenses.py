"""Points through lenses: from the thermal picture as it comes to the visible one as it comes, and back to straight."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.registration.planar import Points, transform
from vi_fusion_ros.registration.rig import Camera, Matrix, Rig

_FISHEYE_WIDEST = 1.48  # radians from the axis: 85 degrees; at 90 a plane in front ends
_FISHEYE_STEPS = 500
_SMALL = 1e-5

_undistort: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 has one function for both


def straightened(camera: Camera | None, points: Points) -> Points:
    """Where points (n, 2), (x, y), of a picture would be if its lens had no distortion; without a lens as they are."""
    if camera is None or not len(points):
        return np.asarray(points, np.float64)
    matrix = camera.matrix
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)  # the default stops after five steps
    flat = np.asarray(points, np.float64).reshape(-1, 1, 2)
    if camera.equidistant:
        return np.stack(pixels(matrix, *_of_fisheye(camera.distortion, *_normalised(matrix, *flat[:, 0].T))), -1)
    undistorted = _undistort(flat, matrix, camera.distortion, R=None, P=matrix, criteria=criteria)
    return np.asarray(undistorted.reshape(-1, 2))


def bent(camera: Camera | None, points: Points) -> Points:
    """Where the lens puts undistorted points (n, 2), (x, y); undoes ``straightened``."""
    if camera is None or not len(points):
        return np.asarray(points, np.float64)
    rays = np.c_[points, np.ones(len(points))] @ np.linalg.inv(camera.matrix).T
    return np.stack(pixels(camera.matrix, *distorted(camera, *rays[:, :2].T)), -1)


def distorted(camera: Camera, x: Any, y: Any) -> tuple[Any, Any]:
    """Where a lens puts rays (x, y, 1), in the same units; ``cv2.projectPoints`` does the same in ten times the time.

    Args:
        camera: whose coefficients count, in OpenCV's order: k1, k2, p1, p2, k3, k4, k5, k6; its matrix does not.
        x: any shape, to the right, float64 or float32, which the result has, too.
        y: the same shape, down.
    """
    coefficients = camera.distortion
    if camera.equidistant:
        radius = np.hypot(x, y)
        place = _fisheye_angle(coefficients, np.arctan(radius))
        factor = np.divide(place, radius, out=np.ones_like(radius), where=radius > 0)
        return x * factor, y * factor
    # Python's numbers leave float32 as it is. np.pad would take longer than the rest of a small block.
    k1, k2, p1, p2, k3, k4, k5, k6 = [*map(float, coefficients), *[0.0] * (8 - len(coefficients))]
    r2 = x * x + y * y
    factor = r2 * k3 if k3 else 0.0
    factor = 1 + r2 * (k1 + r2 * (k2 + factor))
    if k4 or k5 or k6:
        factor = factor / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    if not (p1 or p2):
        return x * factor, y * factor
    factor = factor + ((2 * p1) * y + (2 * p2) * x)  # what both coordinates have in common of the tangential part
    return x * factor + p2 * r2, y * factor + p1 * r2


def _fisheye_angle(coefficients: Matrix, angle: Any) -> Any:
    """Where a fisheye puts a ray at an angle from the axis, focal lengths from the centre."""
    k1, k2, k3, k4 = np.asarray(coefficients, np.float64).tolist()
    square = angle * angle
    return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _of_fisheye(coefficients: Matrix, x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """The rays (x, y, 1) that a fisheye puts at places, focal lengths from the centre; undoes ``distorted``.

    Those that no ray less than ``_FISHEYE_WIDEST`` from the axis comes to are put there. OpenCV's own stops at some
    angles far from a solution.
    """
    radius = np.hypot(x, y)
    angles = np.linspace(0, _FISHEYE_WIDEST, _FISHEYE_STEPS)
    places = _fisheye_angle(coefficients, angles)
    folds = np.flatnonzero(np.diff(places) <= 0)
    last = int(folds[0]) + 1 if len(folds) else len(angles)
    angle = np.interp(radius, places[:last], angles[:last])
    for _ in range(3):  # Newton's
        ahead, behind = (_fisheye_angle(coefficients, angle + by) for by in (_SMALL, -_SMALL))
        slope = (ahead - behind) / (2 * _SMALL)
        step = (_fisheye_angle(coefficients, angle) - radius) / np.where(np.abs(slope) > _SMALL, slope, 1)
        angle = np.clip(angle - step, 0, angles[last - 1])
    factor = np.divide(np.tan(angle), radius, out=np.ones_like(radius), where=radius > 0)
    return x * factor, y * factor


def monotonic_radius(camera: Camera, radii: Matrix) -> float:
    """The first of rising distances from the axis (n,), those of rays with z = 1, at which the lens folds back."""
    moved, _ = distorted(camera, radii, np.zeros_like(radii))
    falling = np.flatnonzero(np.diff(moved) <= 0)
    return float(radii[falling[0]]) if len(falling) else math.inf


def _normalised(matrix: Matrix, x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Undoes ``pixels``."""
    return (x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1]


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
