"""FusionPipeline: a pair in, a result out. The node, ``vi-fusion fuse`` and the evaluation run this same object."""

from __future__ import annotations

import time

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.frames import FramePair, FusionResult, Image, LabelScore, Mode
from vi_fusion_ros.inference.engine import Engine, Tensor
from vi_fusion_ros.inference.manifest import MODES
from vi_fusion_ros.registration.warp import Registered, Registration
from vi_fusion_ros.thermal import ToneMapper, fill_invalid

_TO_UNIT = np.float32(1 / 255)


class FusionPipeline:
    """Tone maps, registers, fuses and classifies. Not thread-safe; deterministic: equal pairs give equal bits.

    Args:
        engine: runs the network.
        registration: brings thermal images into the visible frame.
        tone_mapper: takes 16-bit and float thermal images to 8 bit.
    """

    def __init__(self, engine: Engine, registration: Registration, tone_mapper: ToneMapper) -> None:
        self._engine, self._registration, self._tone_mapper = engine, registration, tone_mapper
        self._visible_tone_mapper = ToneMapper()
        self._inputs = _Inputs(engine.manifest.multiple)

    def reset(self) -> None:
        """Forget earlier images: nothing of them influences the next result."""
        self._tone_mapper.reset()
        self._visible_tone_mapper.reset()

    def process(self, pair: FramePair) -> FusionResult:
        """Fuse and classify a pair; of a lone image, the fused image is that image.

        Args:
            pair: visible (H, W, 3) uint8 BGR or (H, W) uint8, uint16 or float32; thermal (h, w) uint8, uint16 or
                float32, or (h, w, 3) uint8, which is taken as grey.

        Returns:
            The result, in the visible frame.

        Raises:
            ValueError: an image that cannot be used, or sizes that do not fit the rig; the pipeline goes on with the
                next pair.
            EngineError: the network failed.
        """
        start = time.perf_counter()
        visible = None if pair.visible is None else self._visible_8_bit(pair.visible.image)
        height, width = pair.reference.image.shape[:2]
        registered = None if pair.thermal is None else self._register(pair.thermal.image, visible, (width, height))
        thermal = None if registered is None else self._tone_mapper.apply(registered.image)
        after_register = time.perf_counter()

        output = self._engine.infer(*self._inputs.fill(visible, thermal, (height, width)))
        after_infer = time.perf_counter()

        luma = cv2.convertScaleAbs(output.fused[0, 0, :height, :width], alpha=255.0)
        attention = np.clip(output.attention[0, 0, :height, :width], 0, 1)
        fused = _composed(visible, thermal, luma)
        if registered is not None and registered.weight is not None and visible is not None:
            fused = _blended(visible, fused, registered.weight)
            attention *= registered.weight
        if pair.mode is not Mode.BOTH:
            attention = np.full((height, width), pair.mode is Mode.THERMAL_ONLY, np.float32)
        illumination, certainty = self._illumination(output.illumination[0])
        end = time.perf_counter()
        return FusionResult(
            pair=pair,
            fused=fused,
            attention=attention,
            thermal_registered=None if registered is None else registered.image,
            mask=None if registered is None else registered.mask,
            overlap=0.0 if registered is None else registered.overlap,
            scores=self._scores(output.logits[0], pair.mode),
            illumination=illumination,
            illumination_probability=certainty,
            timings_ms={
                "register": (after_register - start) * 1e3,
                "infer": (after_infer - after_register) * 1e3,
                "compose": (end - after_infer) * 1e3,
            },
        )

    def _visible_8_bit(self, image: Image) -> Image:
        if image.dtype == np.uint8:
            return image
        try:
            image = fill_invalid(image)
            self._visible_tone_mapper.observe(image)
        except ValueError as error:
            raise ValueError(str(error).replace("thermal", "visible")) from error
        return self._visible_tone_mapper.apply(image)

    def _register(self, thermal: Image, visible: Image | None, size: tuple[int, int]) -> Registered:
        if thermal.ndim == 3:
            thermal = cv2.cvtColor(thermal, cv2.COLOR_BGR2GRAY)
        thermal = fill_invalid(thermal)
        self._tone_mapper.observe(thermal)
        if visible is None:  # drawn in its own frame
            return Registered(thermal, np.full(thermal.shape, 255, np.uint8), 1.0, None)
        return self._registration.apply(thermal, size)

    def _scores(self, logits: Tensor, mode: Mode) -> tuple[LabelScore, ...]:
        manifest = self._engine.manifest
        scaled = logits.astype(np.float64) / manifest.temperature[MODES[mode]]
        probabilities = 0.5 * (1 + np.tanh(scaled / 2))  # the sigmoid, without overflow
        return tuple(
            LabelScore(label, float(probability), bool(probability >= manifest.thresholds[label]))
            for label, probability in zip(manifest.labels, probabilities, strict=True)
        )

    def _illumination(self, scores: Tensor) -> tuple[str, float]:
        weights = np.exp(scores.astype(np.float64) - scores.max())
        best = int(weights.argmax())
        return self._engine.manifest.illumination[best], float(weights[best] / weights.sum())


class _Inputs:
    """The network's input tensors, padded at the right and the bottom by repeating the edge, and used again and again.

    Args:
        multiple: of which height and width have to be multiples.
    """

    def __init__(self, multiple: int) -> None:
        self._multiple = multiple
        self._visible: Tensor = np.empty((1, 3, 0, 0), np.float32)
        self._thermal: Tensor = np.empty((1, 1, 0, 0), np.float32)

    def fill(self, visible: Image | None, thermal: Image | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The tensors for 8-bit images of ``size`` (H, W); a missing image is black."""
        height, width = (-(-side // self._multiple) * self._multiple for side in size)
        if self._visible.shape[2:] != (height, width):
            self._visible = np.empty((1, 3, height, width), np.float32)
            self._thermal = np.empty((1, 1, height, width), np.float32)
        if visible is None:
            self._visible[:] = 0
        elif visible.ndim == 2:
            _fill(self._visible[0, 0], visible)
            self._visible[0, 1:] = self._visible[0, 0]
        else:
            for plane, channel in zip(self._visible[0], reversed(cv2.split(visible)), strict=True):
                _fill(plane, channel)
        if thermal is None:
            self._thermal[:] = 0
        else:
            _fill(self._thermal[0, 0], thermal)
        return self._visible, self._thermal


def _fill(plane: npt.NDArray[np.float32], channel: Image) -> None:
    height, width = channel.shape
    np.multiply(channel, _TO_UNIT, out=plane[:height, :width])
    plane[:height, width:] = plane[:height, width - 1 : width]
    plane[height:] = plane[height - 1]


def _composed(visible: Image | None, thermal: Image | None, luma: Image) -> Image:
    """The fused luma with the visible chroma; of a lone image, that image itself."""
    if visible is None:
        assert thermal is not None
        return thermal
    if thermal is None:
        return visible
    if visible.ndim == 2:
        return luma
    ycrcb = cv2.cvtColor(visible, cv2.COLOR_BGR2YCrCb)
    cv2.insertChannel(luma, ycrcb, 0)
    return cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2BGR)


def _blended(visible: Image, fused: Image, weight: npt.NDArray[np.float32]) -> Image:
    """``fused`` where the weight is 1, ``visible`` where it is 0."""
    return cv2.blendLinear(fused, visible, weight, 1 - weight)
