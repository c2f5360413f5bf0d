"""The depth images that belong to the visible ones, live. docs/registration.md."""

from __future__ import annotations

import threading
from collections import deque

from vi_fusion_ros.node.subscriptions import codec_of, stamped_image
from vi_fusion_ros.sync.stamp_source import StampSource
from vi_fusion_ros.sync.stamped_image import StampedImage
from vi_fusion_ros.types import Image

_KEPT = 15  # messages: half a second at 30 Hz, in which a visible image finds its partner and is fused
_ENCODINGS = ("16UC1", "mono16", "32FC1")


class DepthSource:
    """Keeps the latest depth images and gives out the one of a moment. Thread-safe.

    Args:
        topic: resolved, for what is said.
        transport: of the topic, as image_transport names it.
        stamps: where their stamps come from: as those of the visible images do.
    """

    def __init__(self, topic: str, transport: str, stamps: StampSource) -> None:
        self.topic = topic
        self.fault = "no pair yet"
        """Why the latest result was registered at the plane, one sentence; empty where depth was used."""
        self._codec, self._stamps = codec_of(transport), stamps
        self._lock = threading.Lock()
        self._kept: deque[StampedImage] = deque(maxlen=_KEPT)

    def take(self, wire: bytes, arrival_ns: int, ros_now_ns: int) -> None:
        """Take in a serialised message; it is decoded only when it is used.

        Raises:
            ImageError: it cannot be decoded; one sentence.
        """
        # It lies in the visible camera's frame.
        image = stamped_image("visible", wire, self._codec, arrival_ns)
        stamp_ns = self._stamps.stamp(image.stamp_ns, ros_now_ns)
        with self._lock:
            self._kept.append(StampedImage(image.camera, image.message, image.codec, stamp_ns, arrival_ns))

    def of(self, stamp_ns: int, max_age_s: float) -> Image:
        """The depth image whose stamp is nearest, (H, W) uint16 millimetres or float32 metres.

        Args:
            stamp_ns: of the visible image.
            max_age_s: by which the stamps may differ.

        Raises:
            ValueError: there is none, or it cannot be decoded; one sentence.
        """
        with self._lock:
            nearest = min(self._kept, key=lambda image: abs(image.stamp_ns - stamp_ns), default=None)
        if nearest is None:
            raise ValueError(f"no depth image on {self.topic} yet")
        if abs(nearest.stamp_ns - stamp_ns) > max_age_s * 1e9:
            raise ValueError(
                f"no depth image on {self.topic} is within {max_age_s:g} s of the visible one (parameter depth.max_age)"
            )
        encoding = getattr(nearest.message, "encoding", None)
        if encoding not in (None, *_ENCODINGS):
            raise ValueError(f"the depth image is {encoding}; expected 16UC1 (millimetres) or 32FC1 (metres)")
        return nearest.decode().image
