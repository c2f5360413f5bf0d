"""The fusion node as it is usually written first: what ``vi-fusion benchmark node`` puts beside ours.

Typed subscriptions, images copied in and out as cv_bridge does, each paired with the nearest one that has come, if that
is near enough (as message_filters' ApproximateTimeSynchronizer for Python does), the network, or the method that the
parameter ``fusion.method`` names, run in the callback. The pipeline and the engine are ours, so that the difference is
that of the node around them. It publishes the fused image alone, takes no camera_info, has no status and no
diagnostics, and knows no faults: none of this is for use.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.methods.engine import NETWORK, MethodEngine
from vi_fusion_ros.methods.registry import method
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.tools.plain_node import run
from vi_fusion_ros.types import Frame, FramePair
from vi_fusion_ros.types import Image as Pixels

_SLOP_NS = 40_000_000
_QUEUE = 10
_TYPES = {"bgr8": (np.uint8, 3), "mono8": (np.uint8, 1), "mono16": (np.uint16, 1)}


class ReferenceNode(Node):
    """Subscribes to ``visible/image`` and ``thermal/image``, publishes ``~/fused/image``."""

    def __init__(self) -> None:
        super().__init__("reference_node")
        threads: Any = self.declare_parameter("threads", 2).value
        name: Any = self.declare_parameter("fusion.method", NETWORK).value
        network = str(name) == NETWORK
        engine = load_engine(default_model(), int(threads or 2)) if network else MethodEngine(method(str(name)))
        self._pipeline = build_pipeline(engine)
        self._waiting: tuple[deque[Image], deque[Image]] = (deque(maxlen=_QUEUE), deque(maxlen=_QUEUE))
        self._fused = self.create_publisher(Image, "~/fused/image", 10)
        self.create_subscription(Image, "visible/image", lambda m: self._take(0, m), qos_profile_sensor_data)
        self.create_subscription(Image, "thermal/image", lambda m: self._take(1, m), qos_profile_sensor_data)

    def _take(self, side: int, message: Image) -> None:
        stamp = stamp_ns(message.header.stamp)
        others = self._waiting[1 - side]
        partner = min(others, key=lambda other: abs(stamp_ns(other.header.stamp) - stamp), default=None)
        if partner is None or abs(stamp_ns(partner.header.stamp) - stamp) > _SLOP_NS:
            self._waiting[side].append(message)
            return
        others.remove(partner)
        self._fuse(*((message, partner) if side == 0 else (partner, message)))

    def _fuse(self, visible: Image, thermal: Image) -> None:
        seen, felt = (Frame(_pixels(message), stamp_ns(message.header.stamp)) for message in (visible, thermal))
        fused = self._pipeline.process(FramePair(seen, felt)).fused
        self._fused.publish(_message(visible.header, fused))


def _pixels(message: Any) -> Pixels:
    """As cv_bridge's ``imgmsg_to_cv2``."""
    dtype, channels = _TYPES[message.encoding]
    shape = (message.height, message.width, channels)[: 2 + (channels > 1)]
    return np.ndarray(shape, dtype, bytes(message.data))


def _message(header: Any, image: Pixels) -> Image:
    """As cv_bridge's ``cv2_to_imgmsg``."""
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding="bgr8")
    message.is_bigendian = sys.byteorder == "big"
    message.step = image.strides[0]
    message.data.frombytes(image.tobytes())
    return message


def main(args: list[str] | None = None) -> None:
    """Run the node until it is interrupted."""
    run(ReferenceNode, args)


if __name__ == "__main__":
    main()
