"""Streams that go on without showing the scene: a driver that repeats a frame, a shutter that is closed (NUC, FFC)."""

from __future__ import annotations

import enum
import math

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

_GRID = (32, 24)  # tiles across and down, whose means show the scene
_SPARSE = 2  # every so many-th pixel across and down is looked at, in images of _LARGE pixels across or more:
_LARGE = 256  # in smaller ones the tiles' means would drown in noise
_ROUNDING = 0.25  # square counts; what rounding to whole counts can make of a plain picture
UNIFORM = 5.0
"""Images with less ``scene_structure`` show no scene."""

_STRUCTURED = 10.0
"""Structure of tile means over what noise leaves of it: about 1 for white noise, 2 for a shutter with a smooth pattern
of its own, at least 12 in all stills of RoadScene and M3SVD and 110 in their videos, thermal and visible."""
_SUDDEN_S = 0.3  # a shutter closes from one frame to the next; a wall that is driven up to comes slowly


class StreamState(enum.Enum):
    """What a stream does."""

    LIVE = "live"
    FROZEN = "frozen"  # it repeats one frame, pixel by pixel
    SHUTTERED = "shuttered"  # the scene vanished from one frame to the next: a closed shutter, a covered lens


class StreamMonitor:
    """Watches the frames of one camera. Free of clocks; not thread-safe; keep one for each stream.

    How to use it: call ``update`` with every frame of a stream, in order, and leave the frame out while the answer is
    not ``LIVE``::

        monitor = StreamMonitor()
        usable = monitor.update(frame.image, frame.stamp_ns / 1e9) is StreamState.LIVE

    FROZEN comes once a frame has been the same for ``frozen_after_s`` of its own stamps (living sensors have noise: no
    two frames are the same in every pixel), SHUTTERED with the first frame of a shutter. Both end with the first frame
    that shows a scene again. A scene that fades slowly, or is plain from the start, is LIVE: fog and walls are no
    fault.
    An image costs about 0.5 ms at 640x512.

    Args:
        frozen_after_s: seconds; must be longer than a slow source takes to bring a new frame.
    """

    def __init__(self, frozen_after_s: float = 0.5) -> None:
        self._frozen_after_s = frozen_after_s
        self.reset()

    def reset(self) -> None:
        """Forget the stream, as at a cut; a jump back in time or images of another kind do the same."""
        self._last: Image | None = None
        self._same_since_s = 0.0
        self._stamp_s = -math.inf
        self._structured_s = -math.inf
        self._shuttered = False

    @property
    def same_since_s(self) -> float:
        """When the image that the stream repeats first came; the stamp of the last one where it repeats none."""
        return self._same_since_s

    def update(self, image: Image, stamp_s: float) -> StreamState:
        """Take in a frame and say what the stream does.

        Args:
            image: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8; kept, not copied, until the next one.
            stamp_s: when it was taken, seconds.
        """
        if stamp_s < self._stamp_s or not _alike(image, self._last):
            self.reset()
        self._stamp_s = stamp_s
        if self._last is not None and _identical(image, self._last):
            if self._shuttered:
                return StreamState.SHUTTERED
            frozen = stamp_s - self._same_since_s >= self._frozen_after_s
            return StreamState.FROZEN if frozen else StreamState.LIVE
        self._last, self._same_since_s = image, stamp_s
        self._watch_structure(scene_structure(image), stamp_s)
        return StreamState.SHUTTERED if self._shuttered else StreamState.LIVE

    def _watch_structure(self, structure: float, stamp_s: float) -> None:
        if structure >= UNIFORM:
            self._shuttered = False
            if structure >= _STRUCTURED:
                self._structured_s = stamp_s
        elif stamp_s - self._structured_s <= _SUDDEN_S:
            self._shuttered = True


def _alike(image: Image, last: Image | None) -> bool:
    return last is None or (image.shape == last.shape and image.dtype == last.dtype)


def _identical(one: Image, other: Image) -> bool:
    if one.dtype == np.float32:  # NaN is not equal to itself, its bits are
        one, other = one.view(np.uint32), other.view(np.uint32)
    return bool(np.array_equal(one, other))


def scene_structure(image: Image) -> float:
    """Variance of tile means, smooth gradients and stripes taken off, over what the noise within tiles makes of it."""
    every = _SPARSE if image.shape[1] >= _LARGE else 1
    grey = (image if image.ndim == 2 else image[..., 1])[::every, ::every]
    side = (grey.shape[1] // _GRID[0], grey.shape[0] // _GRID[1])  # pixels a tile
    if min(side) < 4:
        return math.inf  # too few to tell
    sparse = np.ascontiguousarray(grey[: side[1] * _GRID[1], : side[0] * _GRID[0]], np.float32)
    if image.dtype == np.float32:
        sparse = np.nan_to_num(sparse, nan=0.0, posinf=0.0, neginf=0.0)
    tiles = _means(sparse, _GRID)
    steps = sparse[:, 1::2] - sparse[:, ::2]
    noise = float(np.median(_means(steps * steps, (8, 6)))) / 2
    scene = _scene_variance(tiles)
    if image.dtype != np.float32 and scene < _ROUNDING:
        return 0.0  # contours of what is less than a count
    return scene * side[0] * side[1] / max(noise, 1e-12)


def _means(image: npt.NDArray[np.float32], grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(image, grid, interpolation=cv2.INTER_AREA), np.float32)


def _scene_variance(tiles: npt.NDArray[np.float32]) -> float:
    rough = (tiles - cv2.blur(tiles, (3, 3)))[1:-1, 1:-1]
    rough = rough - rough.mean(0, keepdims=True)
    return float((rough - rough.mean(1, keepdims=True)).var())
