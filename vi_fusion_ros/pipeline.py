"""FusionPipeline: a pair of camera frames in, a fused and classified result out. Free of ROS.

The node, ``vi-fusion fuse`` and the evaluation run this same object and get the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import Engine, EngineOutput, Plane, Tensor, to_unit
from vi_fusion_ros.images.framing import Framing
from vi_fusion_ros.objects import decode, with_hot_regions, with_temperatures
from vi_fusion_ros.registration import Registration, RegistrationManager, Rig
from vi_fusion_ros.registration.cloud import turned
from vi_fusion_ros.registration.warp import Mask
from vi_fusion_ros.thermal import Radiometry, ThermalCamera, ToneMapper
from vi_fusion_ros.thermal.denoising import denoised
from vi_fusion_ros.thermal.hot_regions import hot_regions
from vi_fusion_ros.types import (
    CAMERAS,
    UNKNOWN_ILLUMINATION,
    Camera,
    DetectedObject,
    Frame,
    FramePair,
    FusionResult,
    Image,
    LabelScore,
)

Grey = npt.NDArray[np.uint8]

_FEATHER_PX = 8.0  # fused fades into visible over this far inside the edge of the thermal image: no seam


@dataclass(frozen=True, eq=False)
class _Thermal:
    """A thermal frame in the frame of the result: its own depth, 8 bit, and where it has data."""

    registered: Image
    grey: Grey
    mask: Mask
    overlap: float
    levels: tuple[float, float]
    depth_fault: str = ""
    distance: Image | None = None
    rays: Image | None = None


class FusionPipeline:
    """Registers, fuses and classifies pairs. Deterministic; not thread-safe.

    Args:
        engine: the network.
        registration: brings the thermal image into the visible frame; one that stays, or a manager, which is asked at
            each pair and whose rig's radiometry the thermal camera follows.
        tone_mapper: brings 16-bit and float thermal images to 8 bit.
        thermal_camera: checks and repairs thermal images first; None: they are taken as they come.
        denoise: whether to smooth noise out of visible images.
        framings: what is cut from the images of a camera and how they are turned, first of all; those missing: nothing.
        hot_regions: whether to list the hot regions of the thermal image among the objects; may be changed at any time.
    """

    def __init__(
        self,
        engine: Engine,
        registration: Registration | RegistrationManager,
        tone_mapper: ToneMapper,
        thermal_camera: ThermalCamera | None = None,
        denoise: bool = False,
        framings: Mapping[Camera, Framing] | None = None,
        hot_regions: bool = False,
    ) -> None:
        self.hot_regions = hot_regions
        self.framings: dict[Camera, Framing] = {camera: Framing() for camera in CAMERAS} | dict(framings or {})
        self._thermal_camera, self._denoise = thermal_camera, denoise
        self._engine, self._registration, self.thermal_tones = engine, registration, tone_mapper
        self._visible_tones = ToneMapper()
        self._rig: Rig | None = None
        self._inputs: _Inputs | None = None
        self._feather: tuple[Mask, Tensor] | None = None

    @property
    def radiometry(self) -> Radiometry | None:
        """Of the thermal image of the latest result; None where it is not known."""
        return None if self._thermal_camera is None else self._thermal_camera.radiometry

    def misfit(self, pair: FramePair) -> str:
        """Why the rig cannot register a pair: it is for images of another shape; one sentence, empty where it can.

        Raises:
            ValueError: a crop does not fit its image; one sentence.
        """
        if pair.visible is None or pair.thermal is None:
            return ""
        registration = self._registration
        rig = (registration if isinstance(registration, Registration) else registration.current()).rig
        (h, w), (height, width) = pair.thermal.image.shape[:2], pair.visible.image.shape[:2]
        sizes = self.framings["thermal"].size((w, h)), self.framings["visible"].size((width, height))
        try:
            rig.require_aspects(*sizes)
        except ValueError as error:
            return str(error)
        return ""

    def reset(self) -> None:
        """Forget what earlier pairs left behind, as at a cut or a jump in time."""
        self.thermal_tones.reset()
        self._visible_tones.reset()
        if self._thermal_camera is not None:
            self._thermal_camera.reset()

    def memory(self) -> dict[str, Any]:
        """What earlier pairs left behind: numbers and arrays; a ``RegistrationManager`` has its own state."""
        camera = None if self._thermal_camera is None else self._thermal_camera.memory()
        return {"thermal": self.thermal_tones.memory(), "visible": self._visible_tones.memory(), "camera": camera}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on as the pipeline of the same settings with this ``memory`` would."""
        self.thermal_tones.recall(memory["thermal"])
        self._visible_tones.recall(memory["visible"])
        if self._thermal_camera is not None:
            self._thermal_camera.recall(memory["camera"])

    def __call__(self, visible: Image | None, thermal: Image | None) -> FusionResult:
        """Fuse two images of one moment, or one alone; ``process`` for arrays that come without a stamp.

        Successive calls are frames of one video: the tone mapping of 16-bit thermal images follows them. Call
        ``reset`` between images of different scenes.

        Args:
            visible: (H, W, 3) BGR or (H, W) grey, uint8; uint16 and float32 grey images are tone mapped. None: missing.
            thermal: (h, w) uint8, uint16 or float32, of any size. None: missing.

        Raises:
            ValueError: an image cannot be used, or both are missing; one sentence.
        """
        return self.process(FramePair(_frame("visible", visible), _frame("thermal", thermal)))

    def process(self, pair: FramePair) -> FusionResult:
        """Fuse a pair, or one frame alone.

        Where the pair has depth, each pixel is registered at its own distance; where that cannot be used, at the rig's
        plane, and ``depth_fault`` of the result says why.

        Where a frame is missing the network sees zeros, the fused image is the other frame itself, and the attention is
        0 or 1 throughout. Where the registered thermal image has no data the fused image is the visible one.

        Raises:
            ValueError: an image or its size cannot be used; one sentence.
        """
        start = time.perf_counter()
        pair = self._framed(pair)
        registration = self._follow()
        visible = None if pair.visible is None else self._visible8(pair.visible)
        thermal = None if pair.thermal is None else self._register(pair.thermal, visible, registration, pair)
        registered = time.perf_counter()
        output = self._infer(visible, None if thermal is None else thermal.grey)
        inferred = time.perf_counter()
        fused, attention = self._compose(visible, thermal, output)
        scores = self._scores(output, pair)
        objects = self._objects(output, thermal)
        illumination, illumination_probability = self._illumination(output)
        composed = time.perf_counter()
        return FusionResult(
            pair=pair,
            fused=fused,
            attention=attention,
            thermal_registered=None if thermal is None else thermal.registered,
            mask=None if thermal is None else thermal.mask,
            overlap=0.0 if thermal is None else thermal.overlap,
            scores=scores,
            illumination=illumination,
            illumination_probability=illumination_probability,
            timings_ms={
                "register": (registered - start) * 1e3,
                "infer": (inferred - registered) * 1e3,
                "compose": (composed - inferred) * 1e3,
            },
            thermal_grey=None if thermal is None else thermal.grey,
            objects=objects,
            thermal_levels=None if thermal is None else thermal.levels,
            depth_fault="" if thermal is None else thermal.depth_fault,
            distance=None if thermal is None else thermal.distance,
            rays=None if thermal is None else thermal.rays,
        )

    def _framed(self, pair: FramePair) -> FramePair:
        framings = self.framings
        if all(framing.changes_nothing for framing in framings.values()):
            return pair

        def framed(frame: Frame | None, framing: Framing) -> Frame | None:
            return None if frame is None else replace(frame, image=framing(frame.image))

        return replace(
            pair,
            visible=framed(pair.visible, framings["visible"]),
            thermal=framed(pair.thermal, framings["thermal"]),
        )

    def _follow(self) -> Registration:
        """The registration for this pair; the thermal camera takes over the radiometry of the same rig."""
        if isinstance(self._registration, Registration):
            return self._registration
        applied = self._registration.current()
        if applied.rig is not self._rig:
            if self._thermal_camera is not None:
                self.thermal_tones = self._thermal_camera.follow(applied.rig.radiometry) or self.thermal_tones
            self._rig = applied.rig
        return applied.registration

    def _visible8(self, frame: Frame) -> Image:
        """(H, W, 3) BGR or (H, W), uint8."""
        image = frame.image
        if not (image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size):
            image = self._visible_tones(image)
        return denoised(image) if self._denoise else image

    def _register(self, frame: Frame, visible: Image | None, registration: Registration, pair: FramePair) -> _Thermal:
        image = frame.image
        if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size:
            image = _luma(image)  # a grey image in a colour video
        if self._thermal_camera is not None:
            image = self._thermal_camera.prepare(image)
        self.thermal_tones.observe(image)  # the whole scene, not only what the visible camera sees of it
        fault, distance, rays = "", None, None
        if visible is None:
            mask = np.isfinite(image).astype(np.uint8) * np.uint8(255)
            registered, overlap = image, cv2.countNonZero(mask) / mask.size
        else:
            size = (visible.shape[1], visible.shape[0])
            at_depth = None
            try:
                distance, depth = self._distances(pair, size, registration)
                if depth is not None:
                    at_depth = registration.apply_at_depth(image, depth, size)
                    rays = registration.rays((image.shape[1], image.shape[0]), size)
            except ValueError as error:
                fault, distance = str(error), None
            registered, mask, overlap = at_depth or registration.apply(image, size)
        levels = self.thermal_tones.levels(registered)
        return _Thermal(registered, self.thermal_tones.render(registered), mask, overlap, levels, fault, distance, rays)

    def _distances(
        self, pair: FramePair, size: tuple[int, int], registration: Registration
    ) -> tuple[Image | None, Image | None]:
        """Of the pixels of the framed visible image: as measured, and to register by; None where the pair has none."""
        framing = self.framings["visible"]
        if pair.points is not None:
            return registration.distances(turned(pair.points, framing.turn), size)
        depth = None if pair.depth is None else framing(pair.depth)
        return depth, depth

    def _infer(self, visible: Image | None, thermal: Grey | None) -> EngineOutput:
        reference = visible if visible is not None else thermal
        assert reference is not None  # FramePair holds one at least
        height, width = reference.shape[:2]
        if self._inputs is None or self._inputs.size != (height, width):
            self._inputs = _Inputs(height, width, self._engine.manifest.padded((width, height)))
        buffers = self._engine.buffers(*self._inputs.padded[::-1])
        self._inputs.fill(visible, thermal, *buffers)
        output = self._engine.infer(*buffers)
        if not output.finite:
            raise ValueError(f"model {self._engine.manifest.model_id} gave scores that are not finite for this pair")
        return EngineOutput(
            output.fused[0, 0, :height, :width],
            output.attention[0, 0, :height, :width],
            output.logits[0],
            output.illumination[0],
            None if output.objects is None else output.objects[0],
        )

    def _compose(self, visible: Image | None, thermal: _Thermal | None, output: EngineOutput) -> tuple[Image, Tensor]:
        if visible is None or thermal is None:
            alone = visible if thermal is None else thermal.grey
            assert alone is not None  # FramePair holds one at least
            return alone, np.full(alone.shape[:2], 0.0 if thermal is None else 1.0, np.float32)
        luma = output.fused if output.fused.dtype == np.uint8 else cv2.convertScaleAbs(output.fused, alpha=255.0)
        attention = to_unit(output.attention)
        old_luma = visible if visible.ndim == 2 else _luma(visible)
        if thermal.overlap < 1:
            weight = self._feather_of(thermal.mask)
            luma = cv2.blendLinear(luma, old_luma, weight, 1 - weight)
            attention = attention * weight
        return (luma if visible.ndim == 2 else _with_luma(visible, old_luma, luma)), attention

    def _feather_of(self, mask: Mask) -> Tensor:
        if self._feather is None or self._feather[0] is not mask:
            self._feather = (mask, feather(mask))
        return self._feather[1]

    def _scores(self, output: EngineOutput, pair: FramePair) -> tuple[LabelScore, ...]:
        manifest = self._engine.manifest
        calibration = manifest.calibration(pair.mode)
        probabilities = calibration.probabilities(output.logits)
        return tuple(
            LabelScore(label, float(p), bool(p >= threshold))
            for label, p, threshold in zip(manifest.labels, probabilities, calibration.thresholds, strict=True)
        )

    def _objects(self, output: EngineOutput, thermal: _Thermal | None) -> tuple[DetectedObject, ...]:
        found: tuple[DetectedObject, ...] = ()
        if output.objects is not None:
            manifest, (height, width) = self._engine.manifest, output.fused.shape
            size = (width, height)
            padded = manifest.padded(size)
            found = decode(output.objects, manifest.labels, manifest.object_calibration, size, padded)
        if thermal is None:
            return found
        radiometry = self.radiometry
        if self.hot_regions:
            found = with_hot_regions(found, hot_regions(thermal.registered, thermal.mask, radiometry))
        return found if radiometry is None else with_temperatures(found, thermal.registered, thermal.mask, radiometry)

    def _illumination(self, output: EngineOutput) -> tuple[str, float]:
        scores = output.illumination.astype(np.float64)
        if np.ptp(scores) == 0:
            return UNKNOWN_ILLUMINATION, 0.0
        shares = np.exp(scores - scores.max())
        best = int(shares.argmax())
        return self._engine.manifest.illumination[best], float(shares[best] / shares.sum())


class _Inputs:
    """Puts images of one size into the network's inputs, padded by repeating the last row and column.

    Args:
        height: of the images, pixels.
        width: of the images, pixels.
        padded: width and height of the inputs, pixels.
    """

    def __init__(self, height: int, width: int, padded: tuple[int, int]) -> None:
        self.size, self.padded = (height, width), padded
        # Memory that stays: to have it fresh for each frame would cost more than the split.
        self._planes: list[Grey] = [np.empty(self.size, np.uint8) for _ in "BGR"]

    def fill(self, visible: Image | None, thermal: Grey | None, visible_input: Plane, thermal_input: Plane) -> None:
        """Uint8 images, BGR or grey, to RGB (1, 3, H', W') and (1, 1, H', W'), float32 or uint8; zeros for None."""
        if visible is None:
            visible_input.fill(0)
        else:
            planes = self._split(visible)[::-1] if visible.ndim == 3 else [visible] * 3
            for plane, target in zip(planes, visible_input[0], strict=True):
                self._fill(plane, target)
        if thermal is None:
            thermal_input.fill(0)
        else:
            self._fill(thermal, thermal_input[0, 0])

    def _split(self, bgr: Image) -> list[Grey]:
        cv2.split(bgr, self._planes)
        return self._planes

    def _fill(self, plane: Grey, target: Plane) -> None:
        height, width = self.size
        if target.dtype == np.uint8:
            target[:height, :width] = plane
        else:
            np.divide(plane, 255, out=target[:height, :width], dtype=np.float32)
        target[height:, :width] = target[height - 1, :width]
        target[:, width:] = target[:, width - 1 : width]


def feather(mask: Mask) -> Tensor:
    """How much of the fused image to show: 0 where ``mask`` is 0, rising to 1 over some pixels inside of it.

    Args:
        mask: (H, W) uint8, 255 where there is thermal data.

    Returns:
        (H, W) float32, 0 to 1. The image's own border is no edge.
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.minimum(distance / np.float32(_FEATHER_PX), np.float32(1))


def _luma(bgr: Image) -> Grey:
    return cast(Grey, cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))


def _with_luma(bgr: Image, old: Grey, new: Grey) -> Image:
    """``bgr`` with its luma changed from ``old`` to ``new`` and its chroma kept: all three channels shift alike.

    The same as replacing Y in YCrCb, but exact where the luma does not change, and three times as fast.
    """
    brighter = cv2.cvtColor(cv2.subtract(new, old), cv2.COLOR_GRAY2BGR)
    darker = cv2.cvtColor(cv2.subtract(old, new), cv2.COLOR_GRAY2BGR)
    return cast(Image, cv2.subtract(cv2.add(bgr, brighter), darker))


def _frame(camera: str, image: Image | None) -> Frame | None:
    if image is None:
        return None
    if not isinstance(image, np.ndarray):
        raise ValueError(f"the {camera} image is of type {type(image).__name__}; expected a NumPy array")  # noqa: TRY004
    return Frame(image)


SETTINGS: Mapping[str, Any] = {
    "visible.crop": [0, 0, 0, 0],
    "visible.rotate": 0,
    "visible.flip": "none",
    "visible.denoise": False,
    "thermal.crop": [0, 0, 0, 0],
    "thermal.rotate": 0,
    "thermal.flip": "none",
    "thermal.telemetry_rows": 0,
    "thermal.radiometry": "rig",
    "thermal.scale": 0.01,
    "thermal.offset": 0.0,
    "thermal.unit": "kelvin",
    "thermal.tone_mapping": "percentile",
    "thermal.range": [0.0, 65535.0],
    "thermal.min_span": 1.0,
    "thermal.dead_pixels": "",
    "thermal.flat_field": "",
    "thermal.destripe": False,
    "output.hot_regions": False,
}
"""The parameters of the node that shape a pipeline, with their defaults; a test holds them to the node's schema."""


def build_pipeline(
    engine: Engine,
    rig: Rig | RegistrationManager | None = None,
    settings: Mapping[str, Any] | None = None,
) -> FusionPipeline:
    """Put a pipeline together: the only place where this is done, so that the node and all tools run the same one.

    Args:
        engine: the network.
        rig: registration and radiometry, or the manager of a rig that may change; None: the images are registered.
        settings: parameters by name; those of ``SETTINGS`` are used, with their defaults where missing.

    Raises:
        ValueError: settings that cannot be; one sentence.
    """
    rig = rig or Rig.identity()
    registration, applied = (Registration(rig), rig) if isinstance(rig, Rig) else (rig, rig.current().rig)
    settings = {**SETTINGS, **(settings or {})}
    thermal = ThermalCamera(settings, applied.radiometry)
    framings = {camera: Framing.of(settings, camera) for camera in CAMERAS}
    return FusionPipeline(
        engine,
        registration,
        thermal.tone_mapper(),
        thermal,
        settings["visible.denoise"],
        framings,
        settings["output.hot_regions"],
    )


def load_pipeline(
    model: str | Path | None = None,
    rig: str | Path | None = None,
    threads: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> FusionPipeline:
    """The pipeline of the fusion node, for use without ROS.

    Example:
        >>> pipeline = load_pipeline()
        >>> result = pipeline(visible, thermal)
        >>> result.fused, result.probabilities

    Args:
        model: ONNX file with its manifest beside it; None: the model that the package ships.
        rig: rig file that registers the thermal camera; None: the images are registered, and the thermal one is scaled
            to the visible one's size.
        threads: CPU threads of the network.
        settings: node parameters that shape the pipeline (``SETTINGS``), by name.

    Raises:
        ValueError: the model, the rig file or a setting cannot be used; one sentence.
        FileNotFoundError: the package's model is not installed.
    """
    from vi_fusion_ros.engines.load import load_engine
    from vi_fusion_ros.resources import default_model

    engine = load_engine(model or default_model(), threads)
    return build_pipeline(engine, Rig.load(rig) if rig else None, settings)
