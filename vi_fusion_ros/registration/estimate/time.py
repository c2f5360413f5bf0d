"""The constant delay between two cameras, from when things move in their pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.structure import grey8
from vi_fusion_ros.types import Image

Series = npt.NDArray[np.float64]

_SIZE = (160, 120)
_TILES = (4, 3)
_SMOOTH_S = 0.5  # slower changes of the energy (gain, exposure) are taken off
_FRAMES = 1.0  # width that energies are smoothed by: interpolated sharper, offsets would be drawn to whole frames
_FINER = 4  # instants a frame
_COMMON = 3.0  # medians of a frame's changes, which noise and the pulses of a video codec's key frames make, ...
_LEAST_CHANGE = 1.0  # ... and grey levels beyond that: less is no motion. docs/registration.md says what it is without
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
    """The motion energy of one camera: how far changes from frame to frame exceed those that a whole frame has.

    Attributes:
        times_s: of each change, in the middle between its two frames, seconds.
        energies: (12,) each: means over 4x3 tiles, grey levels a frame.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.energies: list[Series] = []
        self._last: tuple[float, Image] | None = None

    def add(self, stamp_s: float, image: Image) -> None:
        """Take in the next frame, of any depth; one that is not later than the last starts anew."""
        small = cv2.GaussianBlur(cv2.resize(grey8(image), _SIZE, interpolation=cv2.INTER_AREA), (0, 0), 1)
        if self._last is not None and stamp_s > self._last[0]:
            change = cv2.absdiff(small, self._last[1])
            motion = np.maximum(change - np.float32(_COMMON * np.median(change) + _LEAST_CHANGE), 0)
            tiles = cv2.resize(motion, _TILES, interpolation=cv2.INTER_AREA)
            self.times_s.append((stamp_s + self._last[0]) / 2)
            self.energies.append(tiles.ravel().astype(np.float64))
        self._last = stamp_s, small

    @property
    def period_s(self) -> float:
        """Median time from frame to frame, seconds."""
        return float(np.median(np.diff(self.times_s)))


def time_offset(visible: Motion, thermal: Motion, most_ms: float = 250.0) -> TimeOffset:
    """The delay at which two motion energies correlate best, to a fraction of a frame.

    Rates and stamps may differ and jitter: both series are smoothed onto one finer grid of instants, as wide as a frame
    of the slower camera.

    Args:
        visible: of the visible camera.
        thermal: of the thermal one.
        most_ms: largest offset looked for.

    Raises:
        ValueError: too few frames, or nothing that moves in both.
    """
    if min(len(visible.times_s), len(thermal.times_s)) < 3:
        raise ValueError("a time offset needs some seconds of both cameras; expected more frames")
    periods_s = visible.period_s, thermal.period_s
    step, width = min(periods_s) / _FINER, _FRAMES * max(periods_s)
    reach = int(np.ceil(most_ms / 1000 / step)) + 1
    start = max(visible.times_s[0], thermal.times_s[0])
    count = int((min(visible.times_s[-1], thermal.times_s[-1]) - start) / step) + 1
    if count < 4 * reach:
        raise ValueError(
            f"the cameras run together for {max(count, 0) * step:.1f} s, which is too short for a time offset; "
            f"expected {4 * reach * step:.1f} s or more with motion"
        )
    grid: Series = np.asarray(start + step * np.arange(count), np.float64)
    (a, a_known), (b, b_known) = (_whitened(motion, grid, width) for motion in (visible, thermal))
    cells = _correlations(a, b, a_known, b_known, reach)
    curve = _mean(cells)
    if not curve.max() >= _LEAST_CORRELATION:
        raise ValueError(f"motion in the two streams does not correlate ({curve.max():.2f}); show something that moves")
    random = np.random.default_rng(0)
    around = max(1, round(width / step))
    drawn = []
    for _ in range(_RESAMPLES):
        parts, tiles = (random.integers(0, size, size) for size in cells[0].shape[:2])
        drawn.append(_peak(_mean((cells[0][parts][:, tiles], cells[1][parts])), reach, around))
    to_ms = 1000 * step
    return TimeOffset(float(_peak(curve, reach, around) * to_ms), float(np.std(drawn) * to_ms), float(curve.max()))


def _whitened(motion: Motion, grid: Series, width_s: float) -> tuple[Series, npt.NDArray[np.bool_]]:
    """Log energies on a grid of instants, without slow changes, (n, tiles); and which instants frames tell of."""
    times, step = np.array(motion.times_s), grid[1] - grid[0]
    sums, counts = _spread(times, np.log(np.array(motion.energies) + 0.1), grid)
    series = _smoothed(sums, counts, width_s / step) - _smoothed(sums, counts, _SMOOTH_S / step)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    known = times[after] - times[after - 1] < _LONGEST_GAP * motion.period_s
    return (series - series[known].mean(0)) / np.maximum(series[known].std(0), 1e-6), known


def _spread(times: Series, values: Series, grid: Series) -> tuple[Series, Series]:
    """Each value shared between the two instants around it: sums (n, tiles) and shares (n, 1)."""
    at = (times - grid[0]) / (grid[1] - grid[0])
    inside = (at >= 0) & (at <= len(grid) - 1)
    at, values = at[inside], values[inside]
    first = np.minimum(at.astype(np.int64), len(grid) - 2)
    sums, counts = np.zeros((len(grid), values.shape[1])), np.zeros((len(grid), 1))
    for index, share in ((first, 1 - (at - first)), (first + 1, at - first)):
        np.add.at(sums, index, values * share[:, None])
        np.add.at(counts, index, share[:, None])
    return sums, counts


def _smoothed(sums: Series, counts: Series, width: float) -> Series:
    """Mean of what was spread, weighted by a Gaussian in time; its width in instants."""
    window = (1, 2 * math.ceil(4 * width) + 1)
    above, below = (
        cv2.GaussianBlur(each, window, 0.1, sigmaY=width, borderType=cv2.BORDER_CONSTANT) for each in (sums, counts)
    )
    return np.asarray(above.reshape(sums.shape) / np.maximum(below.reshape(counts.shape), 1e-9))


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


def _peak(curve: Series, reach: int, around: int) -> float:
    """Where a parabola through the curve around its maximum has its own, in lags."""
    index = int(curve.argmax())
    lags = np.arange(max(0, index - around), min(len(curve), index + around + 1))
    bend, slope, _ = np.polyfit(lags - index, curve[lags], 2)
    return float(index - reach + (np.clip(-slope / (2 * bend), -around, around) if bend < 0 else 0.0))
