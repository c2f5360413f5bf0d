"""Which camera can be used: silent, frozen, black, saturated and shuttered streams, and what to make results from.

Free of ROS and of clocks: every call is given the time, seconds on one monotonic clock. A stream that fails is left out
after a stated time; one that comes back has to stay well for a stated time before it is used again, unless nothing else
is there. docs/degraded_modes.md says what a user sees of it.
"""

from __future__ import annotations

import enum
import statistics
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from vi_fusion_ros.sync.shutter import FREEZE_S, ShutterEvents
from vi_fusion_ros.sync.stream_monitor import StreamMonitor, StreamState
from vi_fusion_ros.types import CAMERAS, OTHER, Camera, Image

__all__ = ["CAMERAS", "Camera", "Fault", "HealthMonitor", "Limits", "Route", "exposure_fault"]

_PERIODS = 3.0  # a slow camera is silent only after so many of its own periods, whatever the timeout
_GAPS = 9
_LOOK_EVERY_S = 0.09  # what is looked for lasts longer, and a look costs half a millisecond
_SAMPLES_A_SIDE = 48
_DARK = {"visible": 5, "thermal": 1}  # grey levels of 255; cold scenes are nearly black in 8-bit thermal images
_BRIGHT = 250
_FEW = 0.01  # the share of pixels that may differ: dead ones, a single lamp
_FULL_SCALE = (4095, 16383, 65535)  # of 12, 14 and 16 bit sensors in 16-bit images


class Fault(str, enum.Enum):
    """What is wrong with a stream.

    Attributes:
        silent: no image for the timeout.
        frozen: the same image again and again, every pixel alike.
        black: next to no light in the whole image: lens cap, dead sensor, night without any lamp.
        saturated: the whole image at the end of its scale.
        shuttered: the scene vanished from one image to the next: the shutter of a non-uniformity correction (NUC), or a
            covered lens.
    """

    silent = "silent"
    frozen = "frozen"
    black = "black"
    saturated = "saturated"
    shuttered = "shuttered"


class Route(enum.Enum):
    """What to do with an image that has arrived."""

    pair = "pair"
    alone = "alone"
    leave_out = "leave_out"


@dataclass(frozen=True)
class Limits:
    """When a stream counts as failed and as well again. Seconds.

    Attributes:
        silence_s: without an image, or three of the camera's periods where that is longer; 0: never silent.
        fault_s: how long images have to be frozen, black or saturated; a shutter counts at once. 0: never looked at.
        recovery_s: how long a stream that has failed has to be well before it is used beside the other one.
    """

    silence_s: float = 0.3
    fault_s: float = 0.5
    recovery_s: float = 0.5


class HealthMonitor:
    """Watches both streams; thread-safe.

    Args:
        limits: may be replaced at any time.
        now_s: the present.
        shutter: takes note of the thermal camera's.
    """

    def __init__(self, limits: Limits, now_s: float, shutter: ShutterEvents | None = None) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._arrivals = {camera: _Arrivals(now_s) for camera in CAMERAS}
        self._content = {camera: _Content(camera) for camera in CAMERAS}
        self._content["thermal"].shutter = shutter

    def arrived(self, camera: Camera, now_s: float) -> Route:
        """Take note of an image's arrival and say what to do with it."""
        with self._lock:
            mine, other = self._arrivals[camera], self._arrivals[OTHER[camera]]
            mine.arrived(now_s, self.limits)
            if other.silent(now_s, self.limits, since_s=mine.back_s):
                return Route.alone
            other_works = not (other.silent(now_s, self.limits) or other.on_probation(now_s, self.limits))
            if mine.on_probation(now_s, self.limits):
                return Route.leave_out if other_works else Route.pair
            return Route.alone if other.on_probation(now_s, self.limits) else Route.pair

    def usable(self, camera: Camera, image: Image, now_s: float, shutter_closed: bool | None = None) -> bool:
        """Look at an image, as decoded, and say whether its stream can be used.

        Args:
            camera: that it is from.
            image: (H, W) or (H, W, 3), any dtype; kept, not copied.
            now_s: when it arrived.
            shutter_closed: as the camera says; None where it says nothing, and the image has to tell.
        """
        with self._lock:
            content = self._content[camera]
            content.look(image, now_s, self.limits, shutter_closed)
            if content.fault is not None:
                return False
            if not content.on_probation:
                return True
            # One that is getting well again is better than none.
            return self._unfit(OTHER[camera], now_s)

    def faults(self, now_s: float) -> dict[Camera, Fault | None]:
        """What is wrong with each stream at present; None: nothing."""
        with self._lock:
            return {camera: self._fault(camera, now_s) for camera in CAMERAS}

    def describe(self, now_s: float) -> dict[Camera, str]:
        """``ok``, ``recovering`` or the fault's name, by camera."""
        with self._lock:
            return {camera: self._describe(camera, now_s) for camera in CAMERAS}

    def _describe(self, camera: Camera, now_s: float) -> str:
        fault = self._fault(camera, now_s)
        if fault is not None:
            return fault.value
        probation = self._arrivals[camera].on_probation(now_s, self.limits) or self._content[camera].on_probation
        return "recovering" if probation else "ok"

    def _fault(self, camera: Camera, now_s: float) -> Fault | None:
        if self._arrivals[camera].silent(now_s, self.limits):
            return Fault.silent
        return self._content[camera].fault

    def _unfit(self, camera: Camera, now_s: float) -> bool:
        return self._fault(camera, now_s) is not None or self._content[camera].on_probation


class _Arrivals:
    """When the images of one camera come."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s  # a stream that has never come is silent from the start on
        self.back_s = now_s  # when it came, or came back after it was silent
        self._failed = False  # whether it has been silent since the start
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._received = 0

    def arrived(self, now_s: float, limits: Limits) -> None:
        if self.silent(now_s, limits):
            self._failed = self._failed or self._received > 0
            self.back_s = now_s
        if self._received:
            self._gaps.append(now_s - self._last_s)
        self._received += 1
        self._last_s = now_s

    def silent(self, now_s: float, limits: Limits, since_s: float = 0.0) -> bool:
        """Whether nothing has come for the timeout, which runs from ``since_s`` at the earliest."""
        return limits.silence_s > 0 and now_s - max(self._last_s, since_s) > self._timeout_s(limits)

    def on_probation(self, now_s: float, limits: Limits) -> bool:
        return self._failed and now_s - self.back_s < limits.recovery_s

    def _timeout_s(self, limits: Limits) -> float:
        if not self._gaps:
            return limits.silence_s
        return max(limits.silence_s, _PERIODS * statistics.median_low(self._gaps))


class _Content:
    """What the images of one camera show."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._fault_s = 0.0
        self._looked_s: float | None = None
        self._ill_since_s: float | None = None
        self._well_since_s = 0.0
        self.fault: Fault | None = None
        self.on_probation = False
        self.shutter: ShutterEvents | None = None

    def look(self, image: Image, now_s: float, limits: Limits, shutter_closed: bool | None) -> None:
        if limits.fault_s != self._fault_s:  # the first time, and when the parameter changes
            self._fault_s, self._monitor = limits.fault_s, StreamMonitor(frozen_after_s=limits.fault_s)
            self.fault, self.on_probation, self._ill_since_s = None, False, None
        if limits.fault_s <= 0 or (self._looked_s is not None and now_s - self._looked_s < _LOOK_EVERY_S):
            return
        self._looked_s = now_s
        state = self._monitor.update(image, now_s)
        if shutter_closed:
            state = StreamState.SHUTTERED
        if self.shutter is not None:
            same_since_s = self._monitor.same_since_s
            frozen = now_s - same_since_s >= FREEZE_S
            closed_since_s = same_since_s if frozen else now_s if state is StreamState.SHUTTERED else None
            if shutter_closed is not None:
                closed_since_s = now_s if shutter_closed else None
            self.shutter.look(closed_since_s, now_s)
        symptom = exposure_fault(image, self._camera)
        if symptom is not None:
            self._is_ill(symptom, now_s, limits.fault_s)
        elif state is not StreamState.LIVE:
            self._is_ill(Fault(state.value), now_s, 0.0)  # the monitor has waited already
        else:
            self._is_well(now_s, limits.recovery_s)

    def _is_well(self, now_s: float, recovery_s: float) -> None:
        self._ill_since_s = None
        if self.fault is not None:
            self.fault, self.on_probation, self._well_since_s = None, True, now_s
        if self.on_probation and now_s - self._well_since_s >= recovery_s:
            self.on_probation = False

    def _is_ill(self, symptom: Fault, now_s: float, after_s: float) -> None:
        if self._ill_since_s is None:
            self._ill_since_s = now_s
        # While it is getting well one bad image is enough.
        if self.fault is not None or self.on_probation or now_s - self._ill_since_s >= after_s:
            self.fault, self.on_probation = symptom, False


def exposure_fault(image: Image, camera: Camera) -> Fault | None:
    """Whether an image is black or saturated, judged by a grid of its pixels.

    Args:
        image: (H, W) or (H, W, 3); uint8, uint16 or float32.
        camera: that it is from.
    """
    sample = _sample(image)
    if not sample.size:
        return None
    if image.dtype == np.uint8:
        if np.count_nonzero(sample > _DARK[camera]) <= _FEW * sample.size:
            return Fault.black
        return Fault.saturated if np.count_nonzero(sample < _BRIGHT) <= _FEW * sample.size else None
    low, high = sample.min(), sample.max()
    if high == 0:
        return Fault.black
    return Fault.saturated if image.dtype == np.uint16 and low == high and low in _FULL_SCALE else None


def _sample(image: Image) -> Image:
    height, width = image.shape[:2]
    return image[:: max(1, height // _SAMPLES_A_SIDE), :: max(1, width // _SAMPLES_A_SIDE)]
