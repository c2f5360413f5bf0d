"""The vocabulary that every room of the house speaks: frames, pairs and results. Free of ROS and of torch."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

Camera = Literal["visible", "thermal"]

CAMERAS: tuple[Camera, Camera] = ("visible", "thermal")

UNKNOWN_ILLUMINATION = "unknown"
"""The illumination where nothing tells it."""

HOT_REGION = "hot_region"
"""The label of objects that no model has found: a part of the thermal image that is clearly hotter than the rest."""

OTHER: dict[Camera, Camera] = {"visible": "thermal", "thermal": "visible"}


class Mode(enum.IntEnum):
    """Which cameras contributed. The values are those of ``FusedClassification.MODE_*``."""

    BOTH = 0
    VISIBLE_ONLY = 1
    THERMAL_ONLY = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """One camera image.

    Attributes:
        image: (H, W) uint8, uint16 or float32, or (H, W, 3) uint8 in BGR order. May be a read-only view.
        stamp_ns: acquisition time, nanoseconds, as received (no offset applied).
        frame_id: the camera's optical frame.
    """

    image: Image
    stamp_ns: int = 0
    frame_id: str = ""


@dataclass(frozen=True, eq=False)
class FramePair:
    """A visible and a thermal frame of one moment; one of them may be missing, never both.

    Attributes:
        skew_ns: thermal minus visible stamp after the sensors' time offsets, nanoseconds; 0 unless both are there.
        sync_wait_ms: how long the frame that came first waited for its partner, milliseconds.
        depth: along the visible camera's axis, of each pixel of the visible image as received: (H, W) uint16
            millimetres or float32 metres; None: not known.
        points: in place of ``depth``, a cloud in the visible camera's frame (x right, y down, z ahead), (n, 3) float32
            metres; None: there is none.
    """

    visible: Frame | None
    thermal: Frame | None
    skew_ns: int = 0
    sync_wait_ms: float = 0.0
    depth: Image | None = None
    points: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.visible is None and self.thermal is None:
            raise ValueError("a FramePair needs at least one frame")

    @property
    def mode(self) -> Mode:
        """Which frames are there."""
        if self.thermal is None:
            return Mode.VISIBLE_ONLY
        return Mode.THERMAL_ONLY if self.visible is None else Mode.BOTH

    @property
    def images(self) -> int:
        """How many frames are there, 1 or 2."""
        return (self.visible is not None) + (self.thermal is not None)

    @property
    def reference(self) -> Frame:
        """The frame that the result is drawn in: the visible one, else the thermal one."""
        frame = self.visible or self.thermal
        assert frame is not None  # __post_init__
        return frame


@dataclass(frozen=True, eq=False)
class LabelScore:
    """One label: calibrated probability of presence in 0 to 1, and whether it reaches the label's threshold."""

    label: str
    probability: float
    present: bool


@dataclass(frozen=True)
class DetectedObject:
    """One object in an image.

    Attributes:
        label: what it is.
        probability: calibrated, 0 to 1; NaN of a hot region, of which no model says anything.
        x0: left edge of its box, pixels; the left edge of the image is 0.
        y0: upper edge.
        x1: right edge; ``x1 - x0`` is the width.
        y1: lower edge.
        mean_kelvin: mean temperature inside the box; NaN where it is not known.
        max_kelvin: the highest one.
    """

    label: str
    probability: float
    x0: float
    y0: float
    x1: float
    y1: float
    mean_kelvin: float = math.nan
    max_kelvin: float = math.nan

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, upper, right and lower edge."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def is_of_model(self) -> bool:
        """Whether the model has found it; False: it is a hot region, and has no probability."""
        return not math.isnan(self.probability)


@dataclass(frozen=True, eq=False)
class FusionResult:
    """What FusionPipeline makes of a pair. (H, W) is the size of ``pair.reference.image``.

    Attributes:
        pair: the pair it was made from.
        fused: (H, W, 3) uint8 BGR, or (H, W) uint8 where the visible image is grey or missing.
        attention: (H, W) float32, the thermal share of each fused pixel, 0 to 1.
        thermal_registered: the thermal image in the visible frame, (H, W), dtype as received; None without thermal.
        mask: (H, W) uint8, 255 where the registered thermal image has data; None without thermal.
        overlap: share of the visible frame that ``mask`` covers, 0 to 1.
        scores: one per label of the manifest, in its order.
        illumination: most probable illumination class; ``UNKNOWN_ILLUMINATION`` where nothing tells, as without the
            visible image.
        illumination_probability: of that class, 0 to 1; 0 where it is unknown.
        timings_ms: milliseconds by stage: ``register``, ``infer``, ``compose``.
        thermal_grey: ``thermal_registered`` as the network saw it, tone mapped, (H, W) uint8; None where nobody knows.
        thermal_levels: counts of ``thermal_registered`` between which tone mapping works, low then high; None without
            thermal.
        objects: in pixels of ``pair.reference.image``, the surest first; none where the model gives no boxes. Hot
            regions come after those of the model, where they are asked for.
        depth_fault: why depth or points of the pair were not used, one sentence; empty where they were, or are none.
        distance: measured, of each pixel of ``pair.reference.image``, (H, W) uint16 millimetres or float32 metres, 0
            where it is not known; None where no depth was used.
        rays: with ``distance``, the direction of each pixel, (H, W, 3) float32, 1 along the axis; read-only.
    """

    pair: FramePair
    fused: Image
    attention: npt.NDArray[np.float32]
    thermal_registered: Image | None
    mask: npt.NDArray[np.uint8] | None
    overlap: float
    scores: tuple[LabelScore, ...]
    illumination: str
    illumination_probability: float
    timings_ms: dict[str, float] = field(default_factory=dict)
    thermal_grey: npt.NDArray[np.uint8] | None = None
    objects: tuple[DetectedObject, ...] = ()
    thermal_levels: tuple[float, float] | None = None
    depth_fault: str = ""
    distance: Image | None = None
    rays: npt.NDArray[np.float32] | None = None

    @property
    def thermal_attention(self) -> float:
        """Mean thermal share over the image, 0 to 1."""
        return float(self.attention.mean())

    @property
    def probabilities(self) -> dict[str, float]:
        """Calibrated probability of presence by label, 0 to 1."""
        return {score.label: score.probability for score in self.scores}
