"""Repairs of what a thermal sensor adds to every image: dead pixels, fixed patterns, stripes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

_STRIPE_ROWS = 100  # rows that stripes are estimated from
_STRIPE_WIDTH = 41  # pixels; what is wider is no stripe
_STRIPES_EVERY = 5  # frames between estimates
_STRIPES_SHARE = 0.2  # of the newest estimate


def without_dead_pixels(image: Image, dead: npt.NDArray[np.bool_]) -> Image:
    """Pixels of a fixed map replaced by the median of their 3x3 neighbourhood, (H, W), same dtype; a new image.

    Args:
        image: (H, W) uint8, uint16 or float32.
        dead: (H, W), True where the sensor is.

    Raises:
        ValueError: the map has another size.
    """
    if dead.shape != image.shape:
        raise ValueError(f"dead pixel map of shape {dead.shape} does not fit the image of {image.shape}")
    repaired = image.copy()
    repaired[dead] = cv2.medianBlur(image, 3)[dead]
    return repaired


def flat_field(frames: list[Image]) -> npt.NDArray[np.float32]:
    """Fixed-pattern offsets from frames of a uniform scene (a lens cap), (H, W) float32 counts; subtract them.

    Raises:
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("a flat field needs at least one frame of a uniform scene")
    mean = np.mean([frame.astype(np.float64) for frame in frames], axis=0)
    return np.asarray(mean - mean.mean(), np.float32)


def dead_pixels(frames: list[Image], most_k: float = 8.0) -> npt.NDArray[np.bool_]:
    """Map of pixels that stand out from their neighbours in a uniform scene, or never change, (H, W).

    Args:
        frames: of a uniform scene, two or more, of one shape.
        most_k: how many robust standard deviations (1.48 times the median deviation) a mean may be from its
            neighbours' median.

    Raises:
        ValueError: fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError("dead pixels need two frames or more of a uniform scene")
    stack = np.stack([frame.astype(np.float32) for frame in frames])
    mean = stack.mean(0)
    off = np.abs(mean - cv2.medianBlur(mean, 5))
    usual = 1.48 * float(np.median(off))
    return np.asarray((off > most_k * max(usual, 1e-6)) | (np.ptp(stack, axis=0) == 0))


class Destriper:
    """Finds the stripes that columns of a microbolometer make, follows them slowly, and takes them off.

    The stripe of a column is the median over its rows of what it differs from its neighbourhood; edges of things that
    are less than half as high as the image do not count. Not thread-safe.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the stripes."""
        self._stripes: npt.NDArray[np.float32] | None = None
        self._frames = 0

    def memory(self) -> tuple[npt.NDArray[np.float32] | None, int]:
        """What is remembered: the stripes, and the number of frames."""
        return self._stripes, self._frames

    def recall(self, memory: tuple[npt.NDArray[np.float32] | None, int]) -> None:
        """Go on where the one with this ``memory`` is."""
        self._stripes, self._frames = memory

    def offsets(self, image: Image) -> npt.NDArray[np.float32]:
        """Take in an image, (H, W), and give what is to be subtracted from each column, (W,), in its own units."""
        if self._stripes is None or self._stripes.shape != image.shape[1:]:
            self._stripes, self._frames = _stripes(image), 0
        elif self._frames % _STRIPES_EVERY == 0:
            self._stripes = self._stripes + np.float32(_STRIPES_SHARE) * (_stripes(image) - self._stripes)
        self._frames += 1
        return self._stripes


def _stripes(image: Image) -> npt.NDArray[np.float32]:
    rows = np.ascontiguousarray(image[:: max(1, image.shape[0] // _STRIPE_ROWS)], np.float32)
    if image.dtype == np.float32:
        rows = np.nan_to_num(rows, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    rough = rows - cv2.GaussianBlur(rows, (_STRIPE_WIDTH, 1), 0, borderType=cv2.BORDER_REFLECT)
    stripes = np.median(rough, axis=0)
    return np.asarray(stripes - stripes.mean(), np.float32)
