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
    bases, details = zip(*(split(image / 255.0) for image in (first, second)), strict=True)
    codes = [sparse_code(detail, dictionary) for detail in details]
    side = 2 * _NEAR[kind] + 1
    activity = [cv2.boxFilter(np.abs(code).sum(0), -1, (side, side), borderType=cv2.BORDER_CONSTANT) for code in codes]
    chosen = activity[0] > activity[1]
    code = np.where(chosen, codes[0], codes[1])
    base = (bases[0] + bases[1]) / 2 if kind == "modal" else np.where(chosen, bases[0], bases[1])
    filters = _spectra(dictionary, chosen.shape)
    return to_bytes(base + np.fft.irfft2((filters * np.fft.rfft2(code)).sum(0), chosen.shape))


def sparse_code(image: Floats, dictionary: Floats) -> Floats:
    """Coefficient maps x that minimise ||sum_k d_k * x_k - image||² / 2 + 0.01 sum_k |x_k|_1, convolutions circular.

    Args:
        image: (H, W).
        dictionary: (h, w, K); the origin of a filter is its first element.

    Returns:
        (K, H, W).
    """
    shape = image.shape
    filters = _spectra(dictionary, shape)
    turned = filters.conj()
    fixed = turned * np.fft.rfft2(image)
    power = (np.abs(filters) ** 2).sum(0)
    target = 1 + 18.3 ** (np.log10(_SPARSITY) + 1)
    penalty = 100 * _SPARSITY + 0.5
    y = u = np.zeros((len(filters), *shape))
    for number in range(1, _MOST_ROUNDS + 1):
        q = fixed + penalty * np.fft.rfft2(y - u)
        # The system is a rank-one matrix plus the identity at each frequency (Sherman and Morrison).
        x = np.fft.irfft2((q - turned * ((filters * q).sum(0) / (power + penalty))) / penalty, shape)
        relaxed = _RELAXATION * x + (1 - _RELAXATION) * y
        before, wanted = y, relaxed + u
        y = np.sign(wanted) * np.maximum(np.abs(wanted) - _SPARSITY / penalty, 0)
        u = u + relaxed - y
        primal = float(np.linalg.norm(x - y)) / max(float(np.linalg.norm(x)), float(np.linalg.norm(y)), 1e-300)
        dual = float(np.linalg.norm(before - y)) / max(float(np.linalg.norm(u)), 1e-300)
        if primal <= _TOLERANCE and dual <= _TOLERANCE:
            break
        if number > 1:
            scale = _scale(primal, dual, target)
            penalty, u = penalty * scale, u / scale
    return y


def _scale(primal: float, dual: float, target: float) -> float:
    """What the penalty is multiplied by so that both residuals fall at the same rate."""
    if dual == 0:
        return _MOST_SCALING if primal else 1.0
    ratio = np.sqrt(primal / (dual * target))
    step = float(min(ratio if ratio >= 1 else 1 / ratio if ratio else _MOST_SCALING, _MOST_SCALING))
    if dual > 1.2 / target * primal:
        return 1 / step
    return step if primal > 1.2 * target * dual else 1.0


def _spectra(dictionary: Floats, shape: tuple[int, ...]) -> npt.NDArray[np.complex128]:
    return np.fft.rfft2(np.moveaxis(dictionary, 2, 0).astype(np.float64), shape)


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
