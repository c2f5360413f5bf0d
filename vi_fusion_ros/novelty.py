"""How far a pair is from what a model was trained on, by what its images look like and how well they fit together.

Two figures, each with a threshold from frames that were set aside (``training.release.novelty`` makes them):

- *Appearance*: Mahalanobis distance of 13 image statistics to the nearest of the sets trained on, with one covariance
  for all (Lee et al., NeurIPS 2018, there of features of a network). Noise, blur, darkness and blank images are far.
- *Agreement*: correlation of the two cameras' edge directions where they lie, less the best of what it is where
  they are moved against each other. Images that are not registered agree better somewhere else.

The network takes no part: what it makes of a pair that it does not know is what is in doubt.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.types import FusionResult, Image

STATISTICS = 13
"""Of each camera mean, contrast and the energy of four octaves; and the correlation of both."""

_SIDE, _EDGE_SIDE = 640, 320  # longer side to which larger images are brought, pixels
_OCTAVES = 4
_NEAR, _BESIDE, _FARTHEST = 3, 5, 24  # pixels of _EDGE_SIDE; training has moved the images by up to 3
_LEAST = 32  # pixels of the shorter side that the cameras must have in common

Floats = npt.NDArray[np.floating]


class Novelty:
    """The detector of one model.

    Args:
        calibration: ``novelty`` of its manifest.

    Raises:
        ValueError: it is of other statistics.
    """

    def __init__(self, calibration: dict[str, Any]) -> None:
        self._centres = np.array(list(calibration["centres"].values()), np.float64)
        self._whitening = np.array(calibration["whitening"], np.float64)
        if self._centres.shape[1] != STATISTICS:
            raise ValueError(
                f"novelty is of {self._centres.shape[1]} statistics; expected {STATISTICS}: calibrate it anew"
            )
        self._distance = float(calibration["distance"])
        self._usual, self._least = (float(calibration["agreement"][name]) for name in ("usual", "least"))

    def __call__(self, visible: Image, thermal: Image) -> float:
        """Novelty of a registered pair, 0 and above; above 1 it is unlike what was trained on.

        Args:
            visible: (H, W, 3) BGR or (H, W) grey, uint8.
            thermal: (H, W) uint8, as the network sees it.
        """
        return self.of_statistics(*statistics(visible, thermal))

    def of_statistics(self, appearance: Floats, agreement: float) -> float:
        """The same of what ``statistics`` returns."""
        distances = np.linalg.norm((appearance - self._centres) @ self._whitening, axis=1)
        strange = (self._usual - agreement) / (self._usual - self._least)
        return max(float(distances.min()) / self._distance, strange, 0.0)

    def of_result(self, result: FusionResult) -> float:
        """Novelty of the pair behind a result, where both cameras see; infinite where they share next to nothing.

        Raises:
            ValueError: a camera is missing in the result.
        """
        visible, thermal, mask = result.pair.visible, result.thermal_grey, result.mask
        if visible is None or thermal is None or mask is None:
            raise ValueError("a result of one camera is no pair; expected both")
        left, top, width, height = cv2.boundingRect(mask)
        if min(width, height) < _LEAST:
            return float("inf")
        part = np.s_[top : top + height, left : left + width]
        image = visible.image if visible.image.dtype == np.uint8 else ToneMapper()(visible.image)
        return self(image[part], thermal[part])


def statistics(visible: Image, thermal: Image) -> tuple[npt.NDArray[np.float64], float]:
    """Appearance (13,) and agreement, -1 to 1, of a registered pair; arguments as in ``Novelty``."""
    grey = visible if visible.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(visible), cv2.COLOR_BGR2GRAY)
    pair = [_reduced(np.asarray(image, np.float32), _SIDE) for image in (grey, thermal)]
    flat = min(image.std() for image in pair) < 1e-3
    correlation = 0.0 if flat else float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])
    appearance = np.array([*_of_camera(pair[0]), *_of_camera(pair[1]), correlation], np.float64)
    return appearance, _agreement(*(_directions(_reduced(image, _EDGE_SIDE)) for image in pair))


def _reduced(image: Floats, side: int) -> Floats:
    scale = side / max(image.shape)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def _of_camera(image: Floats) -> list[float]:
    made = [float(image.mean()) / 64, float(np.log(image.std() + 1))]
    for _ in range(_OCTAVES):
        coarse = cv2.pyrDown(image)
        detail = image - cv2.pyrUp(coarse, dstsize=image.shape[::-1])
        made.append(float(np.log(np.sqrt(np.mean(detail**2)) + 0.25)))
        image = coarse
    return made


def _directions(image: Floats) -> npt.NDArray[np.complex128]:
    """Direction of the edge at each pixel as a complex number, twice its angle: the same for dark on bright."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    gradient = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.abs(gradient)
    window = np.outer(*(np.hanning(n) for n in image.shape))
    return np.asarray(gradient**2 / (strength**2 + (np.median(strength) / 2 + 4) ** 2) * window, np.complex128)


def _agreement(visible: npt.NDArray[np.complex128], thermal: npt.NDArray[np.complex128]) -> float:
    size = np.sqrt(np.sum(np.abs(visible) ** 2) * np.sum(np.abs(thermal) ** 2)) + 1e-6
    all_shifts = np.real(np.fft.ifft2(np.fft.fft2(visible) * np.conj(np.fft.fft2(thermal)))) / size
    far = min(_FARTHEST, min(visible.shape) // 2 - 1)
    correlation = np.roll(all_shifts, (far, far), (0, 1))[: 2 * far + 1, : 2 * far + 1]
    here = correlation[far - _NEAR : far + _NEAR + 1, far - _NEAR : far + _NEAR + 1].max()
    correlation[far - _BESIDE : far + _BESIDE + 1, far - _BESIDE : far + _BESIDE + 1] = -1
    return float(here - correlation.max())
