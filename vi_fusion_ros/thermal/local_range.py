"""A range of its own for each part of a thermal image: what is faint beside something hot stays visible."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

Grid = npt.NDArray[np.float32]

_ROWS, _COLUMNS = 5, 6  # parts of the image; finer ones flatten what is as large as they are
_SIDE = 24  # samples along each side of a part
_SHARES = (0.02, 0.98)
_LOCAL = 0.7  # of the levels; the rest are the whole scene's, so that hot stays brighter than cold
_MOST_GAIN = (
    4.0  # the scene's range over the least of a part: with the share above, twice as steep, and a sky stays plain
)
_LEAST_KNOWN = 0.25  # share of a part's samples that must have data, for it to have a range


class LocalRange:
    """Levels that vary over the image and follow the scene slowly.

    Args:
        smoothing: share of the newest frame in the levels.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._grids: Grid | None = None

    def render(self, image: Image, levels: tuple[float, float], least: float) -> npt.NDArray[np.uint8]:
        """Follow ``image`` and map it to 8 bit, (H, W) uint8; once a frame.

        Args:
            image: (H, W) uint16, 0 where there is no data, or float32, not finite where there is none; those become 0.
            levels: low and high level of the whole scene, in the image's units.
            least: least distance of the levels, as for the whole scene.
        """
        grids = _grids(image, levels, least)
        if self._grids is not None:
            grids = self._grids + np.float32(self._smoothing) * (grids - self._grids)
        self._grids = grids
        low, high = (cv2.resize(grid, image.shape[::-1], interpolation=cv2.INTER_LINEAR) for grid in grids)
        np.subtract(high, low, out=high)
        np.divide(255, high, out=high)
        above = np.where(np.isfinite(image), image, -np.inf) if image.dtype == np.float32 else image
        grey = np.subtract(above, low, dtype=np.float32)
        grey *= high
        return cast("npt.NDArray[np.uint8]", np.clip(np.rint(grey), 0, 255).astype(np.uint8))

    def reset(self) -> None:
        """Forget the scene."""
        self._grids = None

    def memory(self) -> Grid | None:
        """What is remembered of the scene."""
        return self._grids

    def recall(self, memory: Grid | None) -> None:
        """Go on where the one with this ``memory`` is."""
        self._grids = memory


def _grids(image: Image, levels: tuple[float, float], least: float) -> Grid:
    """(2, rows, columns): low and high level of each part."""
    size = (_COLUMNS * _SIDE, _ROWS * _SIDE)
    samples = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST).astype(np.float32)
    samples[~np.isfinite(samples) | (samples == 0)] = np.nan
    parts = samples.reshape(_ROWS, _SIDE, _COLUMNS, _SIDE).swapaxes(1, 2).reshape(_ROWS, _COLUMNS, -1)
    parts = np.sort(parts, axis=2)  # NaN comes last
    known = np.isfinite(parts).sum(axis=2)
    whole = levels[1] - levels[0]
    ends = []
    for share, level in zip(_SHARES, levels, strict=True):
        place = np.rint(share * np.maximum(known - 1, 0)).astype(np.intp)
        end = np.take_along_axis(parts, place[..., None], axis=2)[..., 0]
        ends.append(np.where(known < _LEAST_KNOWN * parts.shape[2], np.float32(level), end))
    # Within those of the scene: something far hotter than all else must not draw a dark halo around itself.
    low, high = (np.clip(end, *levels) for end in ends)
    middle = (low + high) / 2
    half = np.maximum(high - low, max(whole / _MOST_GAIN, least, 1e-6 * max(abs(levels[1]), 1.0))) / 2
    blurred = [cv2.GaussianBlur(end, (3, 3), 0) for end in (middle - half, middle + half)]
    local = np.stack(blurred).astype(np.float32)
    return np.asarray(_LOCAL * local + (1 - _LOCAL) * np.array(levels, np.float32)[:, None, None], np.float32)
