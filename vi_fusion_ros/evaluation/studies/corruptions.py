"""What goes wrong with cameras, in five severities each, the same in every run.

Images are uint8, visible (H, W, 3) BGR and thermal (H, W); functions return new ones. The idea of a fixed table of five
severities is that of ImageNet-C (Hendrycks and Dietterich, ICLR 2019). ``training.batches.augment`` has the same faults
for batches of tensors, with strengths drawn at random: the two share no code because this side runs without torch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

SEVERITIES = 5
_GAMMA = 2.2
_FULL_WELL = 4000.0  # electrons at white; what a small pixel holds
_READ_NOISE = 3.0  # electrons
_AIRLIGHT = 0.85


@dataclass(frozen=True)
class Corruption:
    """One fault of one camera.

    Attributes:
        camera: ``visible`` or ``thermal``.
        name: in results, after the camera.
        strengths: one a severity, rising.
        what: the strength in words, with its unit.
        apply: (image in 0 to 1, strength, random numbers) to image; may leave 0 to 1, which is clipped.
    """

    camera: str
    name: str
    strengths: tuple[float, ...]
    what: str
    apply: Callable[[Floats, float, Rng], Floats]

    def __call__(self, image: Image8, severity: int, rng: Rng) -> Image8:
        """The corrupted image.

        Args:
            image: uint8.
            severity: 1 to 5.
            rng: from ``generator``.
        """
        changed = self.apply(image.astype(np.float32) / np.float32(255), self.strengths[severity - 1], rng)
        return np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8)


def generator(seed: int, frame: str, condition: str) -> Rng:
    """Random numbers of one frame in one condition, whatever was done before and in which process."""
    return np.random.default_rng([seed, zlib.crc32(frame.encode()), zlib.crc32(condition.encode())])


def displaced(image: Image8, distance: int, rng: Rng) -> Image8:
    """``image`` moved by ``distance`` pixels in a random direction (whole pixels); its border is repeated."""
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = round(distance * np.cos(angle)), round(distance * np.sin(angle))
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, shift, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _low_light(image: Floats, share: float, rng: Rng) -> Floats:
    # Less light means few electrons, whose count varies (Foi et al., IEEE Trans. Image Process. 2008).
    electrons = rng.poisson(image**_GAMMA * share * _FULL_WELL) + rng.normal(0, _READ_NOISE, image.shape)
    return np.asarray((np.clip(electrons, 0, None) / _FULL_WELL) ** (1 / _GAMMA), np.float32)


def _overexposure(image: Floats, factor: float, _: Rng) -> Floats:
    return image * factor ** (1 / _GAMMA)


def _haze(image: Floats, transmission: float, _: Rng) -> Floats:
    # Koschmieder's law with one depth for the whole scene, for none is known.
    return image * transmission + _AIRLIGHT * (1 - transmission)


def _blur(image: Floats, sigma: float, _: Rng) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _noise(image: Floats, deviation: float, rng: Rng) -> Floats:
    return image + rng.normal(0, deviation, image.shape).astype(np.float32)


def _stripes(image: Floats, deviation: float, rng: Rng) -> Floats:
    # Column amplifiers of a microbolometer drift apart: one offset a column.
    return image + rng.normal(0, deviation, (1, image.shape[1])).astype(np.float32)


def _low_contrast(image: Floats, kept: float, _: Rng) -> Floats:
    mean = image.mean()
    return (image - mean) * kept + mean


def _dead_pixels(image: Floats, share: float, rng: Rng) -> Floats:
    dead = rng.random(image.shape) < share
    return np.where(dead, rng.integers(0, 2, image.shape), image).astype(np.float32)


_SIGMAS = (1.0, 1.5, 2.5, 4.0, 6.0)

CORRUPTIONS: dict[str, Corruption] = {
    f"{corruption.camera}_{corruption.name}": corruption
    for corruption in (
        Corruption("visible", "low_light", (0.5, 0.25, 0.1, 0.04, 0.015), "share of the light", _low_light),
        Corruption("visible", "overexposure", (1.5, 2.0, 3.0, 5.0, 8.0), "times the light", _overexposure),
        Corruption("visible", "haze", (0.8, 0.65, 0.5, 0.35, 0.2), "transmission", _haze),
        Corruption("visible", "blur", _SIGMAS, "standard deviation, pixels", _blur),
        Corruption("visible", "noise", (0.02, 0.04, 0.08, 0.12, 0.18), "standard deviation, of white", _noise),
        Corruption("thermal", "stripe_noise", (0.01, 0.02, 0.04, 0.08, 0.12), "standard deviation, of white", _stripes),
        Corruption("thermal", "low_contrast", (0.7, 0.5, 0.35, 0.2, 0.1), "share of the contrast", _low_contrast),
        Corruption("thermal", "blur", _SIGMAS, "standard deviation, pixels", _blur),
        Corruption("thermal", "dead_pixels", (0.001, 0.003, 0.01, 0.03, 0.1), "share of the pixels", _dead_pixels),
    )
}
"""Corruptions by ``CAMERA_NAME``."""
