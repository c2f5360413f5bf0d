"""The depth images or point clouds that belong to the visible images, live. docs/registration.md."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2

from vi_fusion_ros.images.encodings import ImageError
from vi_fusion_ros.images.point_clouds import coordinates
from vi_fusion_ros.images.wire_format import read_stamp
from vi_fusion_ros.node.geometry.transforms import Transforms
from vi_fusion_ros.node.subscriptions import codec_of, stamped_image
from vi_fusion_ros.registration.cloud import turned
from vi_fusion_ros.registration.rig import Matrix
from vi_fusion_ros.sync.stamp_source import StampSource
from vi_fusion_ros.sync.stamped_image import StampedImage
from vi_fusion_ros.types import Frame, FramePair

_KEPT = 15  # messages: half a second at 30 Hz, in which a visible image finds its partner and is fused
_ENCODINGS = ("16UC1", "mono16", "32FC1")

T = TypeVar("T")


class DepthSource(Protocol):
    """What the session asks for the depth of a pair."""

    topic: str
    """Resolved, for what is said."""
    fault: str
    """Why the latest result was registered at the plane, one sentence; empty where depth was used."""
    remark: str
    """What is doubtful about depth that is used, behind the topic; empty where nothing is."""

    def take(self, wire: bytes, arrival_ns: int, ros_now_ns: int) -> None:
        """Take in a serialised message; it is decoded only when it is used.

        Raises:
            ImageError: it cannot be decoded; one sentence.
        """

    def added(self, pair: FramePair, visible: Frame, max_age_s: float) -> FramePair:
        """The pair with the depth whose stamp is nearest to that of its visible frame.

        Args:
            pair: without depth.
            visible: its visible frame.
            max_age_s: by which the stamps may differ.

        Raises:
            ValueError: there is none, or it cannot be used; one sentence.
        """


class _Latest(Generic[T]):
    """Keeps the latest messages of a topic and gives out the one of a moment. Thread-safe."""

    def __init__(self, what: str, topic: str) -> None:
        self._what, self._topic = what, topic
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, T]] = deque(maxlen=_KEPT)
        self._unreadable = ""

    def add(self, stamp_ns: int, message: T) -> None:
        with self._lock:
            self._kept.append((stamp_ns, message))
            self._unreadable = ""

    def unreadable(self, why: str) -> None:
        """The latest message is; what is said where no other one is of the moment."""
        self._unreadable = f"the latest {self._what} on {self._topic} cannot be read: {why}"

    def nearest(self, stamp_ns: int, max_age_s: float) -> T:
        with self._lock:
            found = min(self._kept, key=lambda kept: abs(kept[0] - stamp_ns), default=None)
        if found is None:
            raise ValueError(self._unreadable or f"no {self._what} on {self._topic} yet")
        if abs(found[0] - stamp_ns) > max_age_s * 1e9:
            raise ValueError(
                self._unreadable
                or f"no {self._what} on {self._topic} is within {max_age_s:g} s of the visible one (parameter "
                "depth.max_age)"
            )
        return found[1]


class DepthImages:
    """Depth images, registered to the visible ones. Thread-safe.

    Args:
        topic: resolved, for what is said.
        transport: of the topic, as image_transport names it.
        stamps: where their stamps come from: as those of the visible images do.
    """

    def __init__(self, topic: str, transport: str, stamps: StampSource) -> None:
        self.topic, self.fault, self.remark = topic, "no pair yet", ""
        self._codec, self._stamps = codec_of(transport), stamps
        self._latest: _Latest[StampedImage] = _Latest("depth image", topic)

    def take(self, wire: bytes, arrival_ns: int, ros_now_ns: int) -> None:
        """As ``DepthSource``."""
        try:
            image = stamped_image("visible", wire, self._codec, arrival_ns)  # it lies in the visible camera's frame
        except ImageError as error:
            self._latest.unreadable(str(error))
            raise
        self._latest.add(self._stamps.stamp(image.stamp_ns, ros_now_ns), image)

    def added(self, pair: FramePair, visible: Frame, max_age_s: float) -> FramePair:
        """As ``DepthSource``."""
        nearest = self._latest.nearest(visible.stamp_ns, max_age_s)
        encoding = getattr(nearest.message, "encoding", None)
        if encoding not in (None, *_ENCODINGS):
            raise ValueError(f"the depth image is {encoding}; expected 16UC1 (millimetres) or 32FC1 (metres)")
        frame = nearest.decode()
        named = {frame.frame_id, visible.frame_id} - {""}
        self.remark = (
            f", whose frame is {frame.frame_id} where that of the visible image is {visible.frame_id}: is it registered"
            " to the visible image?"
            if len(named) > 1
            else ""
        )
        return replace(pair, depth=frame.image)


class PointClouds:
    """Point clouds, brought into the visible camera's frame by TF. Thread-safe.

    Args:
        topic: resolved, for what is said.
        stamps: where their stamps come from: as those of the visible images do.
        transforms: what was heard of /tf and /tf_static.
        turn: of a visible frame, the rotation from the frame that its ``frame_id`` names to that of its image, (3, 3).
    """

    def __init__(
        self, topic: str, stamps: StampSource, transforms: Transforms, turn: Callable[[Frame], Matrix]
    ) -> None:
        self.topic, self.fault, self.remark = topic, "no pair yet", ""
        self._stamps, self._transforms, self._turn = stamps, transforms, turn
        self._latest: _Latest[bytes] = _Latest("point cloud", topic)

    def take(self, wire: bytes, _arrival_ns: int, ros_now_ns: int) -> None:
        """As ``DepthSource``."""
        self._latest.add(self._stamps.stamp(read_stamp(wire), ros_now_ns), wire)

    def added(self, pair: FramePair, visible: Frame, max_age_s: float) -> FramePair:
        """As ``DepthSource``."""
        cloud = deserialize_message(self._latest.nearest(visible.stamp_ns, max_age_s), PointCloud2)
        points = coordinates(cloud)
        between = self._transforms.between(visible.frame_id, cloud.header.frame_id)
        if between is None:
            raise ValueError(
                f"no transform from {cloud.header.frame_id or 'a frame without a name'} to "
                f"{visible.frame_id or 'a frame without a name'} on /tf_static or /tf, which {self.topic} needs"
            )
        turn = self._turn(visible)
        rotation, shift = (turn @ part for part in (between.rotation, between.translation_m))
        moved = turned(points, rotation) + shift.astype(np.float32)
        return replace(pair, points=moved)
