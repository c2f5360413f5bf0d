"""Calibration from correspondences that a person gives."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.registration.planar import Points, transform
from vi_fusion_ros.registration.rig import Matrix, Rig, Size

_INLIER_PX = 4.0


def rig_from_points(thermal: Points, visible: Points, thermal_size: Size, visible_size: Size) -> tuple[Rig, Points]:
    """The homography through correspondences, with gross errors left out (RANSAC, then least squares).

    Args:
        thermal: (n, 2), n of at least 4, (x, y).
        visible: (n, 2), the same points of the scene.
        thermal_size: (width, height).
        visible_size: (width, height).

    Returns:
        The rig, and the distance of each point from it, (n,) visible pixels.

    Raises:
        ValueError: too few points, or points on a line.
    """
    if thermal.shape != visible.shape or thermal.ndim != 2 or thermal.shape[1] != 2 or len(thermal) < 4:
        raise ValueError(
            f"{len(thermal)} thermal and {len(visible)} visible points; expected 4 or more pairs of (x, y)"
        )
    for name, points in (("thermal", thermal), ("visible", visible)):
        if not np.isfinite(points).all() or not _spans(points):
            raise ValueError(f"the {name} points lie on a line or on each other; expected points all over the image")
    robust, _ = cv2.findHomography(thermal, visible, cv2.RANSAC, _INLIER_PX)
    if robust is None:
        raise ValueError("no homography fits the points; expected at least 4 good ones, no three on a line")
    off = np.linalg.norm(transform(robust, thermal) - visible, axis=1)
    keep = off <= _INLIER_PX
    homography: Matrix = robust
    if keep.sum() > 4 and _spans(thermal[keep]):
        homography = np.asarray(cv2.findHomography(thermal[keep], visible[keep], 0)[0])
    off = np.linalg.norm(transform(homography, thermal) - visible, axis=1)
    made = {"method": "points", "points": len(off), "left_out": int((~keep).sum())}
    spread = float(np.sqrt(np.mean(off[keep] ** 2)))
    return Rig(homography, thermal_size, visible_size, "points", uncertainty_px=spread, made=made), off


def read_points(path: Path) -> tuple[Points, Points]:
    """Correspondences from JSON: ``{"thermal": [[x, y], …], "visible": [[x, y], …]}``.

    Raises:
        ValueError: the file cannot be read or says something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        thermal, visible = (np.array(document[key], np.float64).reshape(-1, 2) for key in ("thermal", "visible"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} has no points; expected JSON {{"thermal": [[x, y], …], "visible": …}}') from error
    return thermal, visible


def _spans(points: Points) -> bool:
    """Whether points cover an area, as no line through all but one of four does."""
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(spread[1] > 0.02 * max(spread[0], 1e-9) and spread[0] > 1e-6)
