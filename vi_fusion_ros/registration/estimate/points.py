"""Calibration from correspondences that a person gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.lenses import straightened, to_visible
from vi_fusion_ros.registration.planar import MODELS, Points, equal_width, fit, transform
from vi_fusion_ros.registration.rig import Matrix, Rig, Size

LEAST_POINTS = 6

_INLIER_PX = 4.0
_PRECISE_PX = 8.0  # within the inliers the loss is wide: they are taken as they are
_WIN = 0.9  # more freedom has to lower the error of points left out to this share


@dataclass(frozen=True, eq=False)
class PointCalibration:
    """The outcome.

    Attributes:
        rig: the map, with the lenses of the base.
        model: which of ``planar.MODELS`` did best on points left out.
        off_px: distance of each point from the map, (n,) visible pixels.
        held_back_px: the same by a map made without the point; of an outlier as ``off_px``.
        inlier: (n,), which points took part.
        keys: of the points, to know them again.
    """

    rig: Rig
    model: str
    off_px: npt.NDArray[np.float64]
    held_back_px: npt.NDArray[np.float64]
    inlier: npt.NDArray[np.bool_]
    keys: tuple[str, ...]


def calibrate(thermal: Points, visible: Points, thermal_size: Size, visible_size: Size, base: Rig) -> PointCalibration:
    """The map through correspondences, without gross errors (RANSAC), with the least freedom that does.

    Args:
        thermal: (n, 2), n of at least 6, (x, y).
        visible: (n, 2), the same points of the scene.
        thermal_size: (width, height).
        visible_size: (width, height).
        base: gives the lenses, where it has any: points are then straightened first. ``Rig.identity()`` has none.

    Raises:
        ValueError: too few points, or points on a line.
    """
    if thermal.shape != visible.shape or thermal.ndim != 2 or thermal.shape[1] != 2 or len(thermal) < LEAST_POINTS:
        raise ValueError(
            f"{len(thermal)} thermal and {len(visible)} visible points; expected {LEAST_POINTS} or more pairs of (x, y)"
        )
    for name, points in (("thermal", thermal), ("visible", visible)):
        if not np.isfinite(points).all() or not _spans(points):
            raise ValueError(f"the {name} points lie on a line or on each other; expected points all over the image")
    source, target = straightened(base.thermal_camera, thermal), straightened(base.visible_camera, visible)
    inlier = _inliers(source, target)
    model, off_without = _best_model(source[inlier], target[inlier], thermal_size)
    homography = _fit(source[inlier], target[inlier], thermal_size, model)
    rig = replace(
        base, H_thermal_to_visible=homography, thermal_size=thermal_size, visible_size=visible_size, source="points",
        extrinsics=None, plane_distance_m=None, made={}, notes="",
    )  # fmt: skip
    off = points_off(rig, thermal, visible)
    held_back = off.copy()
    held_back[inlier] = off_without
    rig = replace(rig, uncertainty_px=float(np.sqrt(np.mean(off[inlier] ** 2))))
    return PointCalibration(rig, model, off, held_back, inlier, tuple(map(_key, thermal, visible)))


def points_off(rig: Rig, thermal: Points, visible: Points) -> npt.NDArray[np.float64]:
    """Distance in the visible picture of each point (n, 2) from where a rig puts it, (n,) pixels."""
    return np.asarray(np.linalg.norm(to_visible(rig, thermal) - visible, axis=1))


def start_rig(thermal_size: Size, visible_size: Size) -> Rig:
    """Plain rescaling to equal width, as a rig."""
    return Rig(equal_width(visible_size, thermal_size), thermal_size, visible_size, "equal width")


def read_points(path: Path) -> tuple[Points, Points]:
    """Correspondences from JSON: ``{"thermal": [[x, y], …], "visible": [[x, y], …]}``.

    Raises:
        ValueError: the file cannot be read or says something else.
    """
    try:
        return points_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f'{path} has no points; expected JSON {{"thermal": [[x, y], …], "visible": …}}') from error


def points_of(document: object) -> tuple[Points, Points]:
    """Thermal and visible points, (n, 2) each, of a decoded JSON document.

    Raises:
        ValueError: it is something else.
    """
    try:
        assert isinstance(document, dict)
        thermal, visible = (np.array(document[key], np.float64).reshape(-1, 2) for key in ("thermal", "visible"))
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError('no points; expected {"thermal": [[x, y], …], "visible": [[x, y], …]}') from error
    return thermal, visible


def _key(thermal: Points, visible: Points) -> str:
    return hashlib.sha1(np.round([thermal, visible], 3).tobytes(), usedforsecurity=False).hexdigest()[:8]


def _inliers(source: Points, target: Points) -> npt.NDArray[np.bool_]:
    robust, _ = cv2.findHomography(source, target, cv2.RANSAC, _INLIER_PX)
    if robust is None:
        raise ValueError("no homography fits the points; expected at least 6 good ones, no three on a line")
    keep = np.linalg.norm(transform(robust, source) - target, axis=1) <= _INLIER_PX
    if keep.sum() < LEAST_POINTS or not (_spans(source[keep]) and _spans(target[keep])):
        raise ValueError(
            f"only {int(keep.sum())} of {len(source)} points agree with each other, or those that do lie on a line; "
            "expected 6 or more all over the image"
        )
    return np.asarray(keep)


def _best_model(source: Points, target: Points, size: Size) -> tuple[str, npt.NDArray[np.float64]]:
    """The model of the lowest degree that foretells points left out as well as any, and how far they are off."""
    best: tuple[str, npt.NDArray[np.float64]] | None = None
    for model in MODELS:
        off = np.full(len(source), np.inf)
        for index in range(len(source)):
            rest = np.arange(len(source)) != index
            try:
                homography = _fit(source[rest], target[rest], size, model)
            except ValueError:  # too few points for so much freedom
                break
            off[index] = np.linalg.norm(transform(homography, source[index : index + 1]) - target[index])
        if best is None or np.sqrt(np.mean(off**2)) < _WIN * np.sqrt(np.mean(best[1] ** 2)):
            best = model, off
    assert best is not None
    return best


def _fit(source: Points, target: Points, size: Size, model: str) -> Matrix:
    if len(source) < {"shift_scale": 2, "similarity": 2, "affine": 3, "homography": 4}[model]:
        raise ValueError("too few points for this model")
    start = _similarity(source, target)
    weights = np.ones(len(source))
    return fit(source, target, weights, start, size, model, (_PRECISE_PX * 8, _PRECISE_PX * 8), 0.0)[0]


def _similarity(source: Points, target: Points) -> Matrix:
    """The least-squares similarity, (3, 3)."""
    a, b = source - source.mean(0), target - target.mean(0)
    z, w = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    turn = np.vdot(z, w) / max(np.vdot(z, z).real, 1e-12)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.vstack([np.c_[linear, target.mean(0) - linear @ source.mean(0)], [0, 0, 1]])


def _spans(points: Points) -> bool:
    """Whether points cover an area, as no line through all but one of four does."""
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(spread[1] > 0.02 * max(spread[0], 1e-9) and spread[0] > 1e-6)
