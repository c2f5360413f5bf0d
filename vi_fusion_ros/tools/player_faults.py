"""What player_node does to the images of one camera while a fault lasts."""

from __future__ import annotations

import array
from typing import Any

import numpy as np

from vi_fusion_ros.sources.faults import SHIFT_S, PlannedFault

_LOSS = 0.3  # of the frames while they drop; a whole timeout without any has to stay unlikely
_JITTER_NS = 6_000_000
_SHUTTER_NOISE = 3  # levels or counts, either way: the inside of a shutter is plain, and never twice the same
_BURST_NS = 95_000_000  # that images of a burst are held back, at any rate; short enough for no timeout


_DTYPES: dict[str, type[np.generic]] = {"mono16": np.uint16, "16UC1": np.uint16, "32FC1": np.float32}


class CameraFaults:
    """Turns each frame into what a faulty camera would publish.

    Args:
        camera: visible or thermal.
        seed: of the random ones.
    """

    def __init__(self, camera: str, seed: int) -> None:
        self._camera = camera
        self._random = np.random.default_rng((seed, camera == "thermal"))
        self._last_good: Any = None
        self._held: list[tuple[Any, int]] = []
        self._garbled = 0

    def apply(self, message: Any, stamp_ns: int, fault: PlannedFault | None) -> list[tuple[Any, int]]:
        """What to publish instead of a raw image: messages with their stamps; the message may be changed.

        Args:
            message: sensor_msgs/Image.
            stamp_ns: nanoseconds.
            fault: that hits this camera now; None where it is well.
        """
        if fault is None:
            self._last_good = message.data
            return [*self.held(), (message, stamp_ns)]
        if fault.kind == "burst":
            self._held.append((message, stamp_ns))
            return self.held() if stamp_ns - self._held[0][1] >= _BURST_NS else []
        return [*self.held(), *getattr(self, f"_{fault.kind}")(message, stamp_ns)]

    def held(self) -> list[tuple[Any, int]]:
        """Let go of what a burst has kept back."""
        held, self._held = self._held, []
        return held

    def _unplug(self, _message: Any, _stamp_ns: int) -> list[tuple[Any, int]]:
        return []

    def _drop(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [] if self._random.random() < _LOSS else [(message, stamp_ns)]

    def _jitter(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [(message, stamp_ns + int(np.clip(self._random.normal(), -2, 2) * _JITTER_NS))]

    def _clock_jump(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [(message, stamp_ns + round(SHIFT_S["clock_jump"] * 1e9))]

    def _loop(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [(message, stamp_ns + round(SHIFT_S["loop"] * 1e9))]

    def _freeze(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        if self._last_good is None:
            self._last_good = message.data
        message.data = self._last_good
        return [(message, stamp_ns)]

    def _black(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [(_painted(message, b"\0"), stamp_ns)]

    def _saturate(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        return [(_painted(message, b"\xff"), stamp_ns)]

    def _shutter(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        pixels = np.frombuffer(message.data, _DTYPES.get(message.encoding, np.uint8))
        noise = self._random.integers(-_SHUTTER_NOISE, _SHUTTER_NOISE, pixels.size, np.int8, endpoint=True)
        plain = np.float32(np.clip(np.median(pixels), 16, None if pixels.itemsize > 1 else 239))
        message.data = array.array("B", (plain + noise).astype(pixels.dtype).tobytes())
        return [(message, stamp_ns)]

    def _garbage(self, message: Any, stamp_ns: int) -> list[tuple[Any, int]]:
        self._garbled += 1
        if self._garbled % 4 == 0:
            message.data = message.data[: len(message.data) // 3]
        elif self._garbled % 4 == 1:
            message.encoding = "nonsense"
        elif self._garbled % 4 == 2:
            message.height = 0
        else:
            message.step = 1
        return [(message, stamp_ns)]


def _painted(message: Any, byte: bytes) -> Any:
    message.data = array.array("B", byte * len(message.data))
    return message
