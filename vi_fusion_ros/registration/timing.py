"""The constant delay between two cameras, from when things move in their pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.frames import Image
from vi_fusion_ros.registration.structure import grey8

Series = npt.NDArray[np.float64]

_SIZE = (160, 120)
_TILES = (4, 3)
_SMOOTH_S = 0.5  # slower changes of the energy (gain, exposure) are taken off
_LEAST_CORRELATION = 0.2


@dataclass(frozen=True)
class TimeOffset:
    """The outcome.

    Attributes:
        offset_ms: to be added to thermal stamps so that they fit visible ones.
        uncertainty_ms: standard deviation over resampled parts of the picture.
        correlation: of the motion energies at that offset, -1 to 1.
    """

    offset_ms: float
    uncertainty_ms: float
    correlation: float


def motion_energy(frames: Iterable[Image]) -> Series:
    """Mean absolute change from frame to frame in each of 4x3 tiles, (n - 1, 12)."""
    energies, last = [], None
    for frame in frames:
        small = cv2.GaussianBlur(cv2.resize(grey8(frame), _SIZE, interpolation=cv2.INTER_AREA), (0, 0), 1)
        if last is not None:
            energies.append(cv2.resize(cv2.absdiff(small, last), _TILES, interpolation=cv2.INTER_AREA).ravel())
        last = small
    return np.array(energies, np.float64).reshape(-1, _TILES[0] * _TILES[1])


def time_offset(visible: Series, thermal: Series, rate_hz: float, most_ms: float = 250.0) -> TimeOffset:
    """The delay at which two motion energies correlate best, to a fraction of a frame.

    Args:
        visible: (n, tiles) from ``motion_energy``, frames at a constant rate.
        thermal: (m, tiles) the same, first frames stamped alike.
        rate_hz: of both.
        most_ms: largest offset looked for.

    Raises:
        ValueError: too few frames, or nothing that moves in both.
    """
    reach = int(np.ceil(most_ms * rate_hz / 1000)) + 1
    count = min(len(visible), len(thermal))
    if count < 4 * reach:
        raise ValueError(f"{count} frames are too few for a time offset; expected {4 * reach} or more with motion")
    tiles = [_whitened(series[:count], rate_hz) for series in (visible, thermal)]
    curves = np.array([_correlations(a, b, reach) for a, b in zip(tiles[0].T, tiles[1].T, strict=True)])
    mean = curves.mean(0)
    if mean.max() < _LEAST_CORRELATION:
        raise ValueError(f"motion in the two streams does not correlate ({mean.max():.2f}); show something that moves")
    random = np.random.default_rng(0)
    drawn = [_peak(curves[random.integers(0, len(curves), len(curves))].mean(0), reach) for _ in range(50)]
    to_ms = 1000 / rate_hz
    return TimeOffset(float(_peak(mean, reach)) * to_ms, float(np.std(drawn)) * to_ms, float(mean.max()))


def _whitened(series: Series, rate_hz: float) -> Series:
    logs = np.log(series + 0.1)
    logs -= cv2.GaussianBlur(logs, (1, 2 * round(2 * _SMOOTH_S * rate_hz) + 1), 0.1, sigmaY=_SMOOTH_S * rate_hz)
    return np.asarray((logs - logs.mean(0)) / np.maximum(logs.std(0), 1e-6))


def _correlations(visible: Series, thermal: Series, reach: int) -> Series:
    """Correlation of visible[i + lag] with thermal[i] for lags from -reach to reach."""
    inner = thermal[reach : len(thermal) - reach]
    return np.array([np.mean(inner * visible[lag : lag + len(inner)]) for lag in range(2 * reach + 1)])


def _peak(curve: Series, reach: int) -> float:
    index = int(np.clip(curve.argmax(), 1, len(curve) - 2))
    before, top, after = curve[index - 1 : index + 2]
    bend = before - 2 * top + after
    return float(index - reach) + (0.5 * (before - after) / bend if bend < 0 else 0.0)
