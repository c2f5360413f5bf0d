"""What is declared about a thermal camera: radiometric scale, defects, and how it is shown to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.images.files import read_image
from vi_fusion_ros.thermal.agc import ToneMapper
from vi_fusion_ros.thermal.nuc import Destriper, without_dead_pixels
from vi_fusion_ros.thermal.radiometry import Radiometry
from vi_fusion_ros.types import Image

_MOST_COUNT = {"raw14": 16383}
_DTYPES = {
    "tlinear_0.01": ("uint16",),
    "tlinear_0.04": ("uint16",),
    "raw14": ("uint16",),
    "agc8": ("uint8",),
}
_TLINEAR = {"tlinear_0.01": 0.01, "tlinear_0.04": 0.04}

KINDS = ("rig", "none", "tlinear_0.01", "tlinear_0.04", "raw14", "agc8", "linear")
"""What can be declared: see ``thermal.radiometry`` in docs/parameters.md."""


@dataclass(frozen=True, eq=False)
class _NonUniformity:
    dead: npt.NDArray[np.bool_] | None
    flat: npt.NDArray[np.float32] | None


class ThermalCamera:
    """A thermal camera as declared. Checks and repairs its images; not thread-safe.

    Args:
        settings: the parameters ``thermal.*`` of docs/parameters.md by name.
        rig_radiometry: the rig file's ``radiometry`` section, or None; counts where ``thermal.radiometry`` is ``rig``.

    Raises:
        ValueError: something that cannot be, or a file of defects that cannot be read; one sentence.
    """

    def __init__(self, settings: Mapping[str, Any], rig_radiometry: Mapping[str, Any] | None = None) -> None:
        self._kind = str(settings["thermal.radiometry"])
        self.radiometry = _radiometry(settings, rig_radiometry)
        self._nuc = _NonUniformity(
            _dead(settings["thermal.dead_pixels"]) if settings["thermal.dead_pixels"] else None,
            _flat(settings["thermal.flat_field"]) if settings["thermal.flat_field"] else None,
        )
        self._destriper = Destriper() if settings["thermal.destripe"] else None
        self._settings = settings
        self.tone_mapper()  # wrong settings are told now

    def follow(self, rig_radiometry: Mapping[str, Any] | None) -> ToneMapper | None:
        """Take over the radiometry of another rig, where ``thermal.radiometry`` is ``rig``.

        Returns:
            A tone mapper for the new radiometric scale, in place of the one before; None where the scale is the same.

        Raises:
            ValueError: the settings do not fit the new scale; nothing has changed.
        """
        before, self.radiometry = self.radiometry, _radiometry(self._settings, rig_radiometry)
        if self.radiometry == before:
            return None
        try:
            return self.tone_mapper()
        except ValueError:
            self.radiometry = before
            raise

    def tone_mapper(self) -> ToneMapper:
        """A new tone mapper; temperatures of the settings are turned into the counts of this camera."""
        low, high = self._settings["thermal.range"]
        span = 0.0
        if self.radiometry is not None:
            if self._settings["thermal.tone_mapping"] == "range" and (high - low) / self.radiometry.scale > 65535:
                raise ValueError(
                    f"thermal.range is {low:g} to {high:g}, in kelvin where the radiometry is known; a count is "
                    f"{self.radiometry.scale:g} K here, and 16 bits hold less than that; expected temperatures such as "
                    "273 to 323"
                )
            low, high = self.radiometry.count_of(low), self.radiometry.count_of(high)
            span = self.radiometry.span(self._settings["thermal.min_span"])
        return ToneMapper(self._settings["thermal.tone_mapping"], (low, high), span)

    def prepare(self, image: Image) -> Image:
        """An image without the declared defects, same shape and dtype; ``image`` itself where there are none.

        Args:
            image: (H, W) uint8, uint16 or float32.

        Raises:
            ValueError: the image is not of the declared kind, or a map of defects has another size.
        """
        self._check(image)
        if self._nuc.dead is not None:
            image = without_dead_pixels(image, self._nuc.dead)
        offsets = self._nuc.flat
        if offsets is not None and offsets.shape != image.shape:
            raise ValueError(
                f"flat field of {offsets.shape[1]}x{offsets.shape[0]} does not fit the thermal image of "
                f"{image.shape[1]}x{image.shape[0]}"
            )
        if self._destriper is not None:
            plain = image if offsets is None else _less(image, offsets)
            stripes = np.broadcast_to(self._destriper.offsets(plain), image.shape)
            offsets = stripes if offsets is None else offsets + stripes
        return image if offsets is None else _less(image, offsets)

    def reset(self) -> None:
        """Forget earlier images, as at a cut or a jump in time."""
        if self._destriper is not None:
            self._destriper.reset()

    def memory(self) -> Any:
        """What is remembered of earlier images: numbers and arrays, or None."""
        return None if self._destriper is None else self._destriper.memory()

    def recall(self, memory: Any) -> None:
        """Go on where the one of the same settings with this ``memory`` is."""
        if self._destriper is not None:
            self._destriper.recall(memory)

    def _check(self, image: Image) -> None:
        expected = _DTYPES.get(self._kind)
        if expected is not None and image.dtype.name not in expected:
            raise ValueError(
                f"thermal image of {image.dtype.name}, but thermal.radiometry is {self._kind}, which is {expected[0]}"
            )
        most = _MOST_COUNT.get(self._kind)
        if most is not None and image.size and int(image.max()) > most:
            raise ValueError(
                f"thermal image with a count of {int(image.max())}, but thermal.radiometry is {self._kind}, which ends "
                f"at {most}; is it TLinear?"
            )


def _radiometry(settings: Mapping[str, Any], rig: Mapping[str, Any] | None) -> Radiometry | None:
    kind = settings["thermal.radiometry"]
    if kind not in KINDS:
        raise ValueError(f"thermal.radiometry '{kind}' is unknown; expected {', '.join(KINDS)}")
    if kind in _TLINEAR:
        return Radiometry(_TLINEAR[kind])
    if kind == "linear":
        return Radiometry(settings["thermal.scale"], settings["thermal.offset"], settings["thermal.unit"])
    if kind == "rig" and rig:
        return Radiometry(rig["scale"], rig["offset"], rig["unit"])
    return None


def _dead(path: str) -> npt.NDArray[np.bool_]:
    return _picture("thermal.dead_pixels", path) != 0


def _flat(path: str) -> npt.NDArray[np.float32]:
    flat = _picture("thermal.flat_field", path).astype(np.float32)
    if not np.isfinite(flat).all():
        raise ValueError(f"thermal.flat_field {path} has values that are not finite")
    return flat


def _picture(name: str, path: str) -> Image:
    try:
        image = read_image(Path(path))
    except ValueError as error:
        raise ValueError(f"{name} {error}; expected an image of one channel") from error
    if image.ndim != 2:
        raise ValueError(f"{name} {path} cannot be read; expected an image of one channel")
    return image


def _less(image: Image, offsets: npt.NDArray[np.float32]) -> Image:
    """``image - offsets``, rounded and kept within the dtype of the image."""
    return np.asarray(cv2.subtract(image, np.ascontiguousarray(offsets), dtype=_DEPTH[image.dtype.name]))


_DEPTH = {"uint8": cv2.CV_8U, "uint16": cv2.CV_16U, "float32": cv2.CV_32F}
