"""The constant delay between two cameras, from when things move in their pictures."""

from __future__ import annotations

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
_LONGEST_GAP = 3.0  # periods; what lies in a longer one is made up by interpolation and takes no part
_PARTS = 4  # of the time, each of which is judged alone for the uncertainty
_RESAMPLES = 100


@dataclass(frozen=True)
class TimeOffset:
    """The outcome.

    Attributes:
        offset_ms: to be added to thermal stamps so that they fit visible ones.
        uncertainty_ms: standard deviation over resampled parts of the picture and of the time.
        correlation: of the motion energies at that offset, -1 to 1.
    """

    offset_ms: float
    uncertainty_ms: float
    correlation: float


class Motion:
    """The motion energy of one camera: mean absolute change from frame to frame in each of 4x3 tiles.

    Attributes:
        times_s: of each change, in the middle between its two frames, seconds.
        energies: (12,) each, grey levels a frame.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.energies: list[Series] = []
        self._last: tuple[float, Image] | None = None

    def add(self, stamp_s: float, image: Image) -> None:
        """Take in the next frame, of any depth; one that is not later than the last starts anew."""
        small = cv2.GaussianBlur(cv2.resize(grey8(image), _SIZE, interpolation=cv2.INTER_AREA), (0, 0), 1)
        if self._last is not None and stamp_s > self._last[0]:
            change = cv2.resize(cv2.absdiff(small, self._last[1]), _TILES, interpolation=cv2.INTER_AREA)
            self.times_s.append((stamp_s + self._last[0]) / 2)
            self.energies.append(change.ravel().astype(np.float64))
        self._last = stamp_s, small

    @property
    def period_s(self) -> float:
        """Median time from frame to frame, seconds."""
        return float(np.median(np.diff(self.times_s)))


def time_offset(visible: Motion, thermal: Motion, most_ms: float = 250.0) -> TimeOffset:
    """The delay at which two motion energies correlate best, to a fraction of a frame.

    Rates and stamps may differ and jitter: both series are interpolated at the instants of one grid.

    Args:
        visible: of the visible camera.
        thermal: of the thermal one.
        most_ms: largest offset looked for.

    Raises:
        ValueError: too few frames, or nothing that moves in both.
    """
    if min(len(visible.times_s), len(thermal.times_s)) < 3:
        raise ValueError("a time offset needs some seconds of both cameras; expected more frames")
    step = min(visible.period_s, thermal.period_s)
    reach = int(np.ceil(most_ms / 1000 / step)) + 1
    start = max(visible.times_s[0], thermal.times_s[0])
    count = int((min(visible.times_s[-1], thermal.times_s[-1]) - start) / step) + 1
    if count < 4 * reach:
        raise ValueError(
            f"the cameras run together for {max(count, 0) * step:.1f} s, which is too short for a time offset; "
            f"expected {4 * reach * step:.1f} s or more with motion"
        )
    grid: Series = np.asarray(start + step * np.arange(count), np.float64)
    (a, a_known), (b, b_known) = (_whitened(motion, grid) for motion in (visible, thermal))
    cells = _correlations(a, b, a_known, b_known, reach)
    curve = _mean(cells)
    if not curve.max() >= _LEAST_CORRELATION:
        raise ValueError(f"motion in the two streams does not correlate ({curve.max():.2f}); show something that moves")
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(_RESAMPLES):
        parts, tiles = (random.integers(0, size, size) for size in cells[0].shape[:2])
        drawn.append(_peak(_mean((cells[0][parts][:, tiles], cells[1][parts])), reach))
    to_ms = 1000 * step
    return TimeOffset(float(_peak(curve, reach) * to_ms), float(np.std(drawn) * to_ms), float(curve.max()))


def _whitened(motion: Motion, grid: Series) -> tuple[Series, npt.NDArray[np.bool_]]:
    """Log energies on a grid of instants, without slow changes, (n, tiles); and which instants frames tell of."""
    times = np.array(motion.times_s)
    logs = np.log(np.array(motion.energies) + 0.1)
    series = np.stack([np.interp(grid, times, tile) for tile in logs.T], 1)
    rate_hz = 1 / (grid[1] - grid[0])
    window = (1, 2 * round(2 * _SMOOTH_S * rate_hz) + 1)
    series -= cv2.GaussianBlur(series, window, 0.1, sigmaY=_SMOOTH_S * rate_hz)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    known = times[after] - times[after - 1] < _LONGEST_GAP * motion.period_s
    return (series - series.mean(0)) / np.maximum(series.std(0), 1e-6), known


def _correlations(
    visible: Series,
    thermal: Series,
    visible_known: npt.NDArray[np.bool_],
    thermal_known: npt.NDArray[np.bool_],
    reach: int,
) -> tuple[Series, Series]:
    """Sums of visible[i + lag] * thermal[i] for lags from -reach to reach, (parts, tiles, lags), and their counts."""
    inner = slice(reach, len(thermal) - reach)
    parts = np.array_split(np.arange(inner.stop - inner.start), _PARTS)
    sums, counts = [], []
    for lag in range(2 * reach + 1):
        shifted = slice(lag, lag + inner.stop - inner.start)
        known = visible_known[shifted] & thermal_known[inner]
        product = thermal[inner] * visible[shifted] * known[:, None]
        sums.append([product[part].sum(0) for part in parts])
        counts.append([known[part].sum() for part in parts])
    return np.moveaxis(np.array(sums), 0, 2), np.array(counts, np.float64).T


def _mean(cells: tuple[Series, Series]) -> Series:
    sums, counts = cells
    return np.asarray(sums.sum((0, 1)) / np.maximum(counts.sum(0) * sums.shape[1], 1))


def _peak(curve: Series, reach: int) -> float:
    index = int(np.clip(curve.argmax(), 1, len(curve) - 2))
    before, top, after = curve[index - 1 : index + 2]
    bend = before - 2 * top + after
    return float(index - reach) + (0.5 * (before - after) / bend if bend < 0 else 0.0)
