"""Base and detail of an image: a smoothness penalty in the frequency domain (as in SPORCO's ``tikhonov_filter``)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_SMOOTHNESS = 5.0
_PAD = 16

Floats = npt.NDArray[np.float64]


def split(image: Floats) -> tuple[Floats, Floats]:
    """The base that minimises ||base - image||² + 5 (||D_x base||² + ||D_y base||²), and the rest.

    Args:
        image: (H, W). Outside of it, its edges are mirrored over 16 pixels.

    Returns:
        Base and detail, (H, W) each; their sum is the image.
    """
    padded = np.pad(image, _PAD, "symmetric")
    across, down = np.zeros_like(padded), np.zeros_like(padded)
    across[0, 0], across[0, 1] = -1, 1
    down[0, 0], down[1, 0] = -1, 1
    roughness = np.abs(np.fft.rfft2(across)) ** 2 + np.abs(np.fft.rfft2(down)) ** 2
    smooth = np.fft.irfft2(np.fft.rfft2(padded) / (1 + _SMOOTHNESS * roughness), padded.shape)
    base = smooth[_PAD:-_PAD, _PAD:-_PAD]
    return base, image - base
