"""Plane-to-plane maps: points through a homography, distances between two of them, robust fits of few parameters."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.rig import Matrix, Size, scaling

Points = npt.NDArray[np.float64]

MODELS = ("shift_scale", "similarity", "affine", "homography")
"""From the fewest parameters (3) to the most (8)."""

# Columns: what one step of a parameter adds to (a, b, tx, c, d, ty, g, h) of [[a, b, tx], [c, d, ty], [g, h, 1]].
_BASIS = {
    "shift_scale": [[1, 0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0]],
    "affine": np.eye(8)[:6].tolist(),
    "homography": np.eye(8).tolist(),
}
_BASIS["similarity"] = [*_BASIS["shift_scale"], [0, 1, 0, -1, 0, 0, 0, 0]]
_STEPS = 15
_COOLING = 0.75  # the robust loss narrows by this a step: graduated non-convexity


def transform(homography: Matrix, points: Points) -> Points:
    """Points (n, 2), (x, y), through a homography, (n, 2) float64."""
    return np.asarray(cv2.perspectiveTransform(np.asarray(points, np.float64)[None], homography)[0], np.float64)


def inverse(homography: Matrix) -> Matrix:
    """The map back, (3, 3) float64."""
    return np.asarray(np.linalg.inv(homography), np.float64)


def corners(size: Size) -> Points:
    """The centres of the corner pixels of an image of (width, height), (4, 2), clockwise from the upper left."""
    w, h = size
    return np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float64)


def corner_error(one: Matrix, other: Matrix, size: Size) -> float:
    """Mean distance of the four corners of an image of (width, height) under two homographies, target pixels."""
    return float(np.linalg.norm(transform(one, corners(size)) - transform(other, corners(size)), axis=1).mean())


def fit(
    source: Points,
    target: Points,
    weights: npt.NDArray[np.float64],
    start: Matrix,
    size: Size,
    model: str,
    scale_px: tuple[float, float],
    ridge: float = 0.03,
) -> tuple[Matrix, float]:
    """Robust fit of a plane-to-plane map: Gauss-Newton under a Geman-McClure loss that narrows step by step.

    The further a map is from a similarity, the more a light ridge holds it back, so that corners without structure do
    not fly away.

    Args:
        source: (n, 2) points.
        target: (n, 2) where each should go.
        weights: (n,) trust in each, not negative.
        start: (3, 3) map from source to target that is roughly right.
        size: (width, height) of the source image; makes the parameters comparable.
        model: one of ``MODELS``.
        scale_px: width of the loss at the first step and the last, target pixels.
        ridge: share of the total weight that holds shear, unequal scale and perspective back.

    Returns:
        The map, (3, 3) with 1 in its last entry, and the support: the weights, each less the further off it is.

    Raises:
        ValueError: too few points, or points that leave the map open (collinear ones).
    """
    basis = np.array(_BASIS[model], np.float64).T
    if np.count_nonzero(weights > 0) < max(4, basis.shape[1] // 2 + 1):
        raise ValueError(f"{np.count_nonzero(weights > 0)} correspondences are too few for a fit; expected at least 5")
    half = max(size) / 2
    unit = np.array([[1 / half, 0, -(size[0] - 1) / 2 / half], [0, 1 / half, -(size[1] - 1) / 2 / half], [0, 0, 1]])
    points = transform(unit, source)
    scatter = np.linalg.eigvalsh(np.cov(points[weights > 0].T))
    if scatter[0] < 1e-5:
        raise ValueError("the correspondences lie on a line; expected points all over the image")
    params = _project(start @ np.linalg.inv(unit), model)
    weight = weights
    for step in range(_STEPS):
        mapped, jacobian = _jacobian(params, points)
        off = target - mapped
        width = max(scale_px[0] * _COOLING**step, scale_px[1])
        weight = weights / (1 + (off**2).sum(1) / width**2) ** 2
        params = params + basis @ _step(jacobian @ basis, off, weight, basis, params, ridge)
    homography = np.append(params, 1.0).reshape(3, 3) @ unit
    if not np.isfinite(homography).all() or abs(homography[2, 2]) < 1e-9:
        raise ValueError("the correspondences do not determine a map; expected points all over the image")
    return homography / homography[2, 2], float(weight.sum())


def _project(matrix: Matrix, model: str) -> Points:
    """The nearest parameters that the model knows."""
    params = (matrix / matrix[2, 2]).ravel()[:8].copy()
    if model != "homography":
        params[6:] = 0
    if model in ("similarity", "shift_scale"):
        params[0] = params[4] = (params[0] + params[4]) / 2
        params[1] = (params[1] - params[3]) / 2 if model == "similarity" else 0
        params[3] = -params[1]
    return params


def _jacobian(params: Points, points: Points) -> tuple[Points, Points]:
    """Where the points go, (n, 2), and how that changes with each of the eight parameters, (n, 2, 8)."""
    x, y = points.T
    a, b, tx, c, d, ty, g, h = params
    depth = g * x + h * y + 1
    u, v = (a * x + b * y + tx) / depth, (c * x + d * y + ty) / depth
    one, zero = 1 / depth, np.zeros_like(x)
    rows = (
        np.stack([x * one, y * one, one, zero, zero, zero, -u * x * one, -u * y * one], 1),
        np.stack([zero, zero, zero, x * one, y * one, one, -v * x * one, -v * y * one], 1),
    )
    return np.stack([u, v], 1), np.stack(rows, 1)


def _step(jacobian: Points, off: Points, weight: Points, basis: Points, params: Points, share: float) -> Points:
    flat, twice = jacobian.reshape(-1, basis.shape[1]), np.repeat(weight, 2)
    zoom = np.sqrt(abs(params[0] * params[4] - params[1] * params[3]))
    # Unequal scale, shear, and perspective in pixels at the border.
    excess = np.zeros((4, 8))
    excess[0, [0, 4]], excess[1, [1, 3]], excess[2, 6], excess[3, 7] = (1, -1), (1, 1), zoom, zoom
    ridge = share * weight.sum() * (excess @ basis).T
    normal = (flat * twice[:, None]).T @ flat + ridge @ (excess @ basis)
    gradient = (flat * twice[:, None]).T @ off.ravel() - ridge @ (excess @ params)
    return np.asarray(np.linalg.lstsq(normal, gradient, rcond=1e-12)[0])


def equal_width(visible_size: Size, thermal_size: Size) -> Matrix:
    """The start of every search: thermal (w, h) scaled to the visible image's width, the upper edges together."""
    w, h = thermal_size
    return scaling(thermal_size, (visible_size[0], max(1, round(h * visible_size[0] / w))))
