"""Gradient transfer: thermal intensities, visible gradients.

Ma, Chen, Li, Huang, "Infrared and visible image fusion via gradient transfer and total variation minimization",
Information Fusion 31, 2016. With u = fused - visible and s = thermal - visible, minimise |u - s|_1 + 4 TV(u), TV
isotropic. Solved by iteratively reweighted norms (Rodriguez and Wohlberg, "Efficient minimization method for a
generalized total variation functional", IEEE TIP 18(2), 2009): five weighted least-squares problems, by conjugate
gradients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes

_SMOOTHNESS = 4.0
_ROUNDS = 5
_MOST_STEPS = 500
_BINS = 1000

Floats = npt.NDArray[np.float64]


def gtf(visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse by gradient transfer."""
    base = visible / 255.0
    wanted = thermal / 255.0 - base
    return to_bytes(_minimised(wanted) + base)


def _minimised(wanted: Floats) -> Floats:
    """U of the problem at the top, for s = ``wanted``, (H, W)."""
    u = wanted
    for number in range(_ROUNDS):
        # The square root of the inverse weight of the data term, so that the system is symmetric in v = u / fidelity.
        if number == 0:
            fidelity = np.full_like(u, 2 * np.sqrt(0.1))
        else:
            error = np.abs(u - wanted)
            if not error.any():
                break
            fidelity = np.sqrt(0.5) * np.sqrt(np.maximum(error, _quantile(error, 0.05, 1)))
        slope = _across(u) ** 2 + _down(u) ** 2
        least = _quantile(slope, 0.01, 0) or _quantile(slope, 0.01, 1) or 1.0
        smooth = 2 / np.sqrt(np.maximum(slope, least))
        v, steps = _solved(wanted / fidelity, u / fidelity, fidelity, smooth)
        u = fidelity * v
        if steps == 0:
            break
    return u


def _solved(right: Floats, v: Floats, fidelity: Floats, smooth: Floats) -> tuple[Floats, int]:
    """Conjugate gradients from ``v``: the solution, and how many steps it took."""

    def times(x: Floats) -> Floats:
        y = fidelity * x
        return x + _SMOOTHNESS * fidelity * (
            _across_transposed(smooth * _across(y)) + _down_transposed(smooth * _down(y))
        )

    norm = float(np.linalg.norm(right))
    residual = right - times(v)
    start = float(np.linalg.norm(residual)) / norm if norm else 0.0
    # Without the bound of 1 the first round, whose start is worse than zero, would stop at once.
    enough = min(start / 5, 1 - np.finfo(float).eps) * norm
    direction, energy = residual, float((residual**2).sum())
    for steps in range(_MOST_STEPS):
        if np.sqrt(energy) <= enough:
            return v, steps
        turned = times(direction)
        length = energy / float((direction * turned).sum())
        v, residual = v + length * direction, residual - length * turned
        before, energy = energy, float((residual**2).sum())
        direction = residual + energy / before * direction
    return v, _MOST_STEPS


def _quantile(values: Floats, share: float, further: int) -> float:
    """The centre of the bin, or ``further`` ones, at which more than ``share`` of the values are reached.

    The first and the last of the bins' centres are the smallest and the largest value, as in the authors' histogram.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    centres = np.linspace(low, high, _BINS)
    places = np.searchsorted((centres[1:] + centres[:-1]) / 2, values.ravel(), side="right")
    reached = np.cumsum(np.bincount(places, minlength=_BINS)) / values.size
    return float(centres[min(int(np.argmax(reached > share)) + further, _BINS - 1)])


def _across(x: Floats) -> Floats:
    out = np.zeros_like(x)
    out[:, :-1] = x[:, 1:] - x[:, :-1]
    return out


def _down(x: Floats) -> Floats:
    out = np.zeros_like(x)
    out[:-1] = x[1:] - x[:-1]
    return out


def _across_transposed(x: Floats) -> Floats:
    out = np.zeros_like(x)
    out[:, :-1] -= x[:, :-1]
    out[:, 1:] += x[:, :-1]
    return out


def _down_transposed(x: Floats) -> Floats:
    out = np.zeros_like(x)
    out[:-1] -= x[:-1]
    out[1:] += x[:-1]
    return out
