"""Bundle adjustment of two cameras that see one board: lenses, extrinsics and the board's poses together.

Levenberg-Marquardt with the poses eliminated (Triggs et al. 2000, 6.1). OpenCV's ``stereoCalibrate`` minimises the same
sum, but had moved less far after 30 iterations than this does in ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.lenses import straightened
from vi_fusion_ros.registration.planar import Points
from vi_fusion_ros.registration.rig import Camera, Extrinsics

Array = npt.NDArray[np.float64]

_ITERATIONS = 60
_SETTLED = 8  # Gauss-Newton steps of one camera, from lenses that are nearly right
_ENOUGH = 1e-8  # relative change of the sum
_INTRINSICS = 9  # fx, fy, cx, cy, k1, k2, p1, p2, k3 of a lens
_FISHEYE_POSE = slice(8, 14)  # columns of OpenCV's derivatives: behind those of the focal lengths, middle and k
_SHARED = 2 * _INTRINSICS + 6  # both lenses, rotation vector and translation


@dataclass(frozen=True, eq=False)
class Sighting:
    """A board seen by both cameras.

    Attributes:
        flat: (n, 3), its points on the board, metres, z = 0.
        thermal: (n, 2), where the thermal camera has them, pixels.
        visible: (n, 2), where the visible camera has them.
    """

    flat: Points
    thermal: Points
    visible: Points


@dataclass(frozen=True, eq=False)
class Cameras:
    """Both lenses and how the cameras lie.

    Attributes:
        thermal: its lens.
        visible: its lens.
        extrinsics: from thermal to visible camera coordinates.
        errors_px: (n, 2), rms reprojection error of each sighting in the thermal and the visible image.
    """

    thermal: Camera
    visible: Camera
    extrinsics: Extrinsics
    errors_px: Array


Known = tuple[Camera | None, Camera | None]
"""Lenses that stay as they are, thermal and visible; None: found from the views."""


def adjust(
    sightings: Sequence[Sighting], thermal: Camera, visible: Camera, radial: int, known: Known = (None, None)
) -> Cameras:
    """The lenses and extrinsics with the least sum of squared reprojection errors in both images.

    Args:
        sightings: three at least.
        thermal: a lens to start from, with five coefficients.
        visible: the same.
        radial: 2 or 3 radial coefficients; with 2 the third stays 0.
        known: lenses that are held fixed, of any model; they stand in for those to start from.
    """
    free = np.ones(_SHARED, bool)
    free[[8, 8 + _INTRINSICS]] = radial == 3
    for number, lens in enumerate(known):
        free[number * _INTRINSICS : (number + 1) * _INTRINSICS] &= lens is None
    shared, poses = _start(sightings, known[0] or thermal, known[1] or visible)
    shared[[8, 8 + _INTRINSICS]] *= radial == 3
    off = _residuals(sightings, shared, poses, known)
    damping = 1e-3
    for _ in range(_ITERATIONS):
        parts = [_part(sighting, shared, pose, known) for sighting, pose in zip(sightings, poses, strict=True)]
        while damping < 1e9:
            step, pose_steps = _step(parts, free, damping)
            tried = shared + step, poses + pose_steps
            new = _residuals(sightings, *tried, known)
            if new.sum() < off.sum():
                break
            damping *= 10
        else:
            break
        gain = 1 - new.sum() / off.sum()
        (shared, poses), off, damping = tried, new, damping / 10
        if gain < _ENOUGH:
            break
    counts = np.array([len(sighting.flat) for sighting in sightings])
    lenses = _lenses(shared, known)
    extrinsics = Extrinsics(cv2.Rodrigues(shared[-6:-3])[0], shared[-3:].copy())
    return Cameras(lenses[0], lenses[1], extrinsics, np.sqrt(off / counts[:, None]))


def pose(lens: Camera, flat: Points, seen: Points) -> Array | None:
    """Rotation vector and translation (6,) of a board in a camera, from (n, 3) points and (n, 2) pixels."""
    distortion = lens.distortion
    if lens.equidistant:
        seen, distortion = straightened(lens, seen), np.zeros(5)
    found, turn, shift = cv2.solvePnP(flat, seen, lens.matrix, distortion)
    return np.concatenate([turn.ravel(), shift.ravel()]) if found else None


def projected(lens: Camera, points: Points, turn: Array, shift: Array) -> tuple[Points, Array]:
    """Where a lens sees points of a board.

    Args:
        lens: of either model.
        points: (n, 3), metres.
        turn: rotation vector (3,) of the board in the camera.
        shift: its translation (3,), metres.

    Returns:
        Pixels (n, 2), and their derivatives by turn and shift and then, of a lens that is not equidistant, by its
        matrix and coefficients, (2 n, 6 or more).
    """
    if lens.equidistant:
        flat = np.asarray(points, np.float64).reshape(-1, 1, 3)
        pixels, slope = cv2.fisheye.projectPoints(flat, turn, shift, lens.matrix, lens.distortion)
        return pixels.reshape(-1, 2), slope[:, _FISHEYE_POSE]
    pixels, slope = cv2.projectPoints(points, turn, shift, lens.matrix, lens.distortion)
    return pixels.reshape(-1, 2), slope


def settled(lens: Camera, views: Sequence[tuple[Points, Points]], free: bool) -> tuple[Camera, float]:
    """One camera's poses, and on demand its focal lengths and middle, with the least squared reprojection error.

    Args:
        lens: to start from; its coefficients stay.
        views: points of the board (n, 3), metres, and where the camera has them, (n, 2) pixels.
        free: whether the focal lengths and the middle are found, too.

    Returns:
        The lens, and the sum of squares, square pixels; infinite where a board has no pose.
    """
    poses = [pose(lens, flat, seen) for flat, seen in views]
    placed = np.array([one for one in poses if one is not None])
    total = np.inf
    if len(placed) < len(views):
        return lens, total
    for _ in range(_SETTLED):
        parts = [_alone(lens, flat, seen, one) for (flat, seen), one in zip(views, placed, strict=True)]
        total = sum(float(off @ off) for off, _, _ in parts)
        change = np.zeros(4)
        if free:
            clear = [np.linalg.qr(by_pose)[0] for _, by_pose, _ in parts]
            rest = [by_lens - q @ (q.T @ by_lens) for q, (_, _, by_lens) in zip(clear, parts, strict=True)]
            change = np.linalg.lstsq(np.concatenate(rest), np.concatenate([off for off, _, _ in parts]), rcond=None)[0]
        fx, fy, cx, cy = _flat(lens)[:4] + change
        lens = Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), lens.distortion, lens.equidistant)
        placed = placed + [
            np.linalg.lstsq(by_pose, off - by_lens @ change, rcond=None)[0] for off, by_pose, by_lens in parts
        ]
    return lens, total


def _alone(lens: Camera, flat: Points, seen: Points, placed: Array) -> tuple[Array, Array, Array]:
    """How far off a camera has a board, (2 n,), and the derivatives by its pose and by ``fx, fy, cx, cy``."""
    pixels, slope = projected(lens, flat, placed[:3], placed[3:])
    by_lens = np.zeros((len(flat), 2, 4))
    by_lens[:, [0, 1], [0, 1]] = (pixels - lens.matrix[:2, 2]) / np.diag(lens.matrix)[:2]
    by_lens[:, [0, 1], [2, 3]] = 1
    return (seen - pixels).ravel(), slope[:, :6], by_lens.reshape(-1, 4)


def _start(sightings: Sequence[Sighting], thermal: Camera, visible: Camera) -> tuple[Array, Array]:
    """The shared parameters, the extrinsics being the middle of what each sighting says, and the poses (n, 6)."""
    poses, relative = [], []
    for sighting in sightings:
        by_camera = [pose(thermal, sighting.flat, sighting.thermal), pose(visible, sighting.flat, sighting.visible)]
        a, b = (np.array([0, 0, 0, 0, 0, 1.0]) if one is None else one for one in by_camera)
        turn = cv2.Rodrigues(b[:3])[0] @ cv2.Rodrigues(a[:3])[0].T
        relative.append(np.concatenate([cv2.Rodrigues(turn)[0].ravel(), b[3:] - turn @ a[3:]]))
        poses.append(a)
    return np.concatenate([_flat(thermal), _flat(visible), np.median(relative, axis=0)]), np.array(poses)


def _flat(camera: Camera) -> Array:
    k = camera.matrix
    k1_to_k3 = np.pad(camera.distortion, (0, 1))[:5]  # those beyond are of lenses that are held fixed
    return np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2], *k1_to_k3])


def _camera(values: Array) -> Camera:
    fx, fy, cx, cy = values[:4]
    return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), values[4:9].copy())


def _lenses(shared: Array, known: Known) -> tuple[Camera, Camera]:
    thermal, visible = (_camera(shared[first : first + _INTRINSICS]) for first in (0, _INTRINSICS))
    return known[0] or thermal, known[1] or visible


def _projected(flat: Points, moved: Array, lens: Camera) -> tuple[Points, Array]:
    """Pixels (2 n,) and their derivatives by rotation, translation and the lens, (2 n, 6 + 9)."""
    pixels, slope = projected(lens, flat, moved[:3], moved[3:])
    slopes = np.zeros((2 * len(flat), 6 + _INTRINSICS))  # those of a fisheye lens, which is held fixed, stay 0
    known = slope[:, : 6 + _INTRINSICS]
    slopes[:, : known.shape[1]] = known
    return pixels.ravel(), slopes


def _carried(shared: Array, placed: Array) -> tuple[Array, Array, Array]:
    """The board's pose in the visible camera, (6,), and how it changes with the thermal pose and the extrinsics."""
    turn, shift, *derivatives = cv2.composeRT(placed[:3], placed[3:], shared[-6:-3], shared[-3:])
    rr1, rt1, rr2, rt2, tr1, tt1, tr2, tt2 = derivatives
    return (
        np.concatenate([turn.ravel(), shift.ravel()]),
        np.block([[rr1, rt1], [tr1, tt1]]),
        np.block([[rr2, rt2], [tr2, tt2]]),
    )


def _residuals(sightings: Sequence[Sighting], shared: Array, poses: Array, known: Known) -> Array:
    """Sum of squares of each sighting in the thermal and the visible image, (n, 2)."""
    lenses = _lenses(shared, known)
    sums = []
    for sighting, placed in zip(sightings, poses, strict=True):
        moved = placed, _carried(shared, placed)[0]
        seen = sighting.thermal, sighting.visible
        sums.append([
            float(((_projected(sighting.flat, one, lens)[0] - points.ravel()) ** 2).sum())
            for one, lens, points in zip(moved, lenses, seen, strict=True)
        ])  # fmt: skip
    return np.array(sums)


def _part(sighting: Sighting, shared: Array, placed: Array, known: Known) -> tuple[Array, ...]:
    """A sighting's share of the normal equations: shared x shared, shared x pose, pose x pose, and right sides."""
    lenses = _lenses(shared, known)
    carried, by_pose, by_extrinsics = _carried(shared, placed)
    thermal, thermal_slope = _projected(sighting.flat, placed, lenses[0])
    visible, visible_slope = _projected(sighting.flat, carried, lenses[1])
    rows = 2 * len(sighting.flat)
    common, own = np.zeros((2 * rows, _SHARED)), np.zeros((2 * rows, 6))
    common[:rows, :_INTRINSICS], own[:rows] = thermal_slope[:, 6:], thermal_slope[:, :6]
    common[rows:, _INTRINSICS : 2 * _INTRINSICS] = visible_slope[:, 6:]
    common[rows:, -6:], own[rows:] = visible_slope[:, :6] @ by_extrinsics, visible_slope[:, :6] @ by_pose
    off = np.concatenate([sighting.thermal.ravel() - thermal, sighting.visible.ravel() - visible])
    return common.T @ common, common.T @ own, own.T @ own, common.T @ off, own.T @ off


def _step(parts: Sequence[tuple[Array, ...]], free: npt.NDArray[np.bool_], damping: float) -> tuple[Array, Array]:
    normal = sum(part[0] for part in parts)
    right = sum(part[3] for part in parts)
    assert isinstance(normal, np.ndarray)
    assert isinstance(right, np.ndarray)
    reduced, pull = normal + damping * np.diag(np.diag(normal)), right.copy()
    inverses = []
    for _, mixed, own, _, own_right in parts:
        back = np.linalg.inv(own + damping * np.diag(np.diag(own)) + 1e-12 * np.eye(6))
        reduced -= mixed @ back @ mixed.T
        pull -= mixed @ back @ own_right
        inverses.append(back)
    step = np.zeros(_SHARED)
    step[free] = np.linalg.lstsq(reduced[np.ix_(free, free)], pull[free], rcond=None)[0]
    pose_steps = [back @ (part[4] - part[1].T @ step) for back, part in zip(inverses, parts, strict=True)]
    return step, np.array(pose_steps)
