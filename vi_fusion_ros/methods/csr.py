"""Convolutional sparse representation, for two cameras ("multi-modal") and for two focal planes ("multi-focus").

Liu, Chen, Ward, Wang, "Image Fusion With Convolutional Sparse Representation", IEEE Signal Processing Letters 23(12),
2016. Each source is split into a smooth base and detail. The detail is written as a sum of convolutions of 32 small
filters with sparse coefficient maps (convolutional basis pursuit denoising by ADMM: Wohlberg, "Efficient Algorithms for
Convolutional Sparse Representations", IEEE TIP 25(1), 2016). Where the coefficients of a source are stronger, all of
them are taken.

The authors' dictionary is for research only. The default one is of the same size and kind, and comes with the PyPI
package ``sporco`` (BSD-3-Clause); it gives other images than the published ones, by about a grey level.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8, to_bytes
from vi_fusion_ros.methods.tikhonov import split

_SPARSITY = 0.01
_RELAXATION = 1.8
_TOLERANCE = 1e-3
_MOST_ROUNDS = 500
_MOST_SCALING = 100.0
_NEAR = {"modal": 3, "focus": 9}  # pixels around one whose activity counts

Floats = npt.NDArray[np.float64]
Coefficients = npt.NDArray[np.float32]


def csr(visible: Gray8, thermal: Gray8) -> Gray8:
    """Fuse the images of two cameras with SPORCO's dictionary.

    Raises:
        ValueError: the package ``sporco`` is not installed.
    """
    return fuse(visible, thermal, sporco_dictionary(), "modal")


def fuse(first: Gray8, second: Gray8, dictionary: Floats, kind: str) -> Gray8:
    """Fuse with any dictionary.

    Args:
        first: (H, W) uint8.
        second: (H, W) uint8.
        dictionary: (h, w, K) filters of unit norm.
        kind: ``modal`` for two cameras, ``focus`` for two focal planes of one.
    """
    from scipy import fft  # a dependency of sporco's, not of this package

    bases, details = zip(*(split(image / 255.0) for image in (first, second)), strict=True)
    height, width = first.shape
    codes = [sparse_code(_at_fast_size(detail), dictionary) for detail in details]
    side = 2 * _NEAR[kind] + 1
    activity = [cv2.boxFilter(np.abs(code).sum(0), -1, (side, side), borderType=cv2.BORDER_CONSTANT) for code in codes]
    chosen = activity[0] > activity[1]
    filters = _spectra(dictionary, chosen.shape)
    detail = fft.irfft2((filters * fft.rfft2(np.where(chosen, *codes))).sum(0), chosen.shape)[:height, :width]
    base = (bases[0] + bases[1]) / 2 if kind == "modal" else np.where(chosen[:height, :width], *bases)
    return to_bytes(base + detail)


def sparse_code(image: Floats, dictionary: Floats) -> Coefficients:
    """Coefficient maps x that minimise ||sum_k d_k * x_k - image||² / 2 + 0.01 sum_k |x_k|_1, convolutions circular.

    In single precision, one filter after the other: a map of one filter stays in the processor's cache.

    Args:
        image: (H, W).
        dictionary: (h, w, K); the origin of a filter is its first element.

    Returns:
        (K, H, W).
    """
    from scipy import fft

    shape = image.shape
    filters = _spectra(dictionary, shape).astype(np.complex64)
    fixed = filters.conj() * fft.rfft2(image.astype(np.float32))
    power = (np.abs(filters) ** 2).sum(0)
    target = 1 + 18.3 ** (np.log10(_SPARSITY) + 1)
    penalty = 100 * _SPARSITY + 0.5
    y = np.zeros((len(filters), *shape), np.float32)
    u, q = np.zeros_like(y), np.empty_like(fixed)
    for number in range(1, _MOST_ROUNDS + 1):
        for k, spectrum in enumerate(q):
            np.multiply(fft.rfft2(y[k] - u[k]), np.float32(penalty), out=spectrum)
            spectrum += fixed[k]
        # The system is a rank-one matrix plus the identity at each frequency (Sherman and Morrison).
        common = np.einsum("khw,khw->hw", filters, q) / (power + np.float32(penalty))
        energies = np.zeros(5)
        for k in range(len(filters)):
            x = fft.irfft2(q[k] - filters[k].conj() * common, shape) / np.float32(penalty)
            energies += _update(x, y[k], u[k], np.float32(_SPARSITY / penalty))
        x_norm, y_norm, u_norm, between, moved = np.sqrt(energies)
        primal, dual = between / max(x_norm, y_norm, 1e-300), moved / max(u_norm, 1e-300)
        if primal <= _TOLERANCE and dual <= _TOLERANCE:
            break
        if number > 1:
            scale = _scale(primal, dual, target)
            penalty *= scale
            u /= np.float32(scale)
    return y


def _update(x: Coefficients, y: Coefficients, u: Coefficients, threshold: np.float32) -> tuple[float, ...]:
    """The second and third step of a round, in place, for the maps (H, W) of one filter.

    Returns:
        The squared norms of x, y, u, x - y and of what y has changed by.
    """
    wanted = _RELAXATION * x + (1 - _RELAXATION) * y + u
    np.clip(wanted, -threshold, threshold, out=u)
    wanted -= u  # what soft thresholding leaves
    moved = float(np.vdot(y - wanted, y - wanted))
    y[:] = wanted
    return (*(float(np.vdot(part, part)) for part in (x, y, u, x - y)), moved)


def _scale(primal: float, dual: float, target: float) -> float:
    """What the penalty is multiplied by so that both residuals fall at the same rate."""
    if dual == 0:
        return _MOST_SCALING if primal else 1.0
    ratio = np.sqrt(primal / (dual * target))
    step = float(min(ratio if ratio >= 1 else 1 / ratio if ratio else _MOST_SCALING, _MOST_SCALING))
    if dual > 1.2 / target * primal:
        return 1 / step
    return step if primal > 1.2 * target * dual else 1.0


def _at_fast_size(image: Floats) -> Floats:
    """(H, W), mirrored to the right and below up to sides without large prime factors.

    Transforms of 257×577 pixels take three times as long as those of 270×600. Images of such sides stay as they are.
    """
    from scipy import fft

    return np.pad(image, [(0, fft.next_fast_len(side, real=True) - side) for side in image.shape], "symmetric")


def _spectra(dictionary: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.complex128]:
    from scipy import fft

    return fft.rfft2(np.moveaxis(dictionary, 2, 0).astype(np.float64), shape)


@cache
def sporco_dictionary() -> Floats:
    """(8, 8, 32) filters of unit norm, learned by SPORCO.

    Raises:
        ValueError: the package is not installed.
    """
    # Its data alone is read: to import the package would take seconds and its further dependencies.
    found = importlib.util.find_spec("sporco")
    places = list(found.submodule_search_locations or []) if found else []
    files = [file for file in (Path(place) / "data" / "convdict.npz" for place in places) if file.is_file()]
    if not files:
        raise ValueError("method csr needs the dictionary of the package sporco; expected: pip install sporco")
    with np.load(files[0]) as held:
        dictionary: npt.NDArray[Any] = held["G:8x8x32"]
    return dictionary.astype(np.float64)
