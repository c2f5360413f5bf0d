"""The fusion node's outputs: what a result becomes on each topic, made only for topics that somebody listens to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from copy import copy
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from vi_fusion_ros import drawing
from vi_fusion_ros.images.encodings import fill_compressed
from vi_fusion_ros.images.wire_format import image_bytes
from vi_fusion_ros.msg import FusedClassification
from vi_fusion_ros.node import qos
from vi_fusion_ros.node.messages import to_classification, to_header
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import FusionResult
from vi_fusion_ros.types import Image as Pixels


class ResultPublishers:
    """Publishers of one configured fusion node.

    Args:
        node: the node that owns them.
        model_id: of the loaded model, for the classification.
        compressed: whether to offer ``~/fused/compressed`` too.
        kelvin: whether to offer ``~/thermal_kelvin``.
        report: called with one sentence when a subscriber's QoS is incompatible.
    """

    def __init__(
        self,
        node: Node,
        model_id: str,
        compressed: bool,
        kelvin: bool,
        report: Callable[[str], None],
    ) -> None:
        self._node = node
        self._report = report
        self.model_id = model_id
        self._fused = self._publisher(Image, "~/fused")
        self._compressed = self._publisher(CompressedImage, "~/fused/compressed") if compressed else None
        self._camera_info = self._publisher(CameraInfo, "~/fused/camera_info")
        self._classification = self._publisher(FusedClassification, "~/classification")
        self._thermal = self._publisher(Image, "~/thermal_registered")
        self._mask = self._publisher(Image, "~/thermal_mask")
        self._kelvin: Publisher | None = None
        self._kelvin_lock = threading.Lock()  # it comes and goes with the rig while results are published
        self.offer_kelvin(kelvin)
        self._attention = self._publisher(Image, "~/attention")
        self._overlay = self._publisher(Image, "~/overlay")

    @property
    def offers_kelvin(self) -> bool:
        """Whether ``~/thermal_kelvin`` is offered."""
        return self._kelvin is not None

    def offer_kelvin(self, offered: bool) -> None:
        """Offer ``~/thermal_kelvin`` or take it off the graph."""
        with self._kelvin_lock:
            if offered and self._kelvin is None:
                self._kelvin = self._publisher(Image, "~/thermal_kelvin")
            elif not offered and self._kelvin is not None:
                self._node.destroy_publisher(self._kelvin)
                self._kelvin = None

    def publish(
        self, result: FusionResult, camera_info: CameraInfo | None, radiometry: Radiometry | None, jpeg_quality: int
    ) -> None:
        """Publish a result.

        Args:
            result: what to publish.
            camera_info: of the frame that the result is drawn in, None where there is none.
            radiometry: of the thermal image of this result, None where it is not known.
            jpeg_quality: of ``~/fused/compressed``, 1 to 100.
        """
        header = to_header(result.pair.reference)
        if _wanted(self._fused):
            self._publish_image(self._fused, header, result.fused)
        if _wanted(self._classification):
            self._classification.publish(to_classification(result, self.model_id))
        if camera_info is not None and _wanted(self._camera_info):
            self._camera_info.publish(_with_header(camera_info, header))
        if self._compressed is not None and _wanted(self._compressed):
            self._compressed.publish(fill_compressed(CompressedImage(header=header), result.fused, jpeg_quality))
        if result.thermal_registered is not None and _wanted(self._thermal):
            self._publish_image(self._thermal, header, result.thermal_registered)
        if result.mask is not None and _wanted(self._mask):
            self._publish_image(self._mask, header, result.mask)
        if radiometry is not None:
            self._publish_kelvin(result, header, radiometry)
        if _wanted(self._attention):
            self._publish_image(self._attention, header, drawing.attention_grey(result))
        if _wanted(self._overlay):
            self._publish_image(self._overlay, header, drawing.overlay(result))

    @staticmethod
    def _publish_image(publisher: Publisher, header: Header, image: Pixels) -> None:
        publisher.publish(image_bytes((header.stamp.sec, header.stamp.nanosec), header.frame_id, image))

    def destroy(self) -> None:
        """Take the topics off the graph."""
        self.offer_kelvin(False)
        for publisher in (
            self._fused, self._compressed, self._camera_info, self._classification, self._thermal, self._mask,
            self._attention, self._overlay,
        ):  # fmt: skip
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def _publish_kelvin(self, result: FusionResult, header: Header, radiometry: Radiometry) -> None:
        with self._kelvin_lock:
            if self._kelvin is None or result.thermal_registered is None or not _wanted(self._kelvin):
                return
            kelvin = radiometry.kelvin(result.thermal_registered)
            kelvin[result.mask == 0] = math.nan
            self._publish_image(self._kelvin, header, kelvin)

    def _publisher(self, message: Any, topic: str) -> Publisher:
        name = self._node.resolve_topic_name(topic)
        return self._node.create_publisher(
            message,
            topic,
            qos.copy_of(qos.OUT),
            event_callbacks=qos.on_incompatible_publisher(self._report, name),
            qos_overriding_options=qos.overridable(),
        )


def _wanted(publisher: Publisher) -> bool:
    return bool(publisher.get_subscription_count() > 0)


def _with_header(camera_info: CameraInfo, header: Header) -> CameraInfo:
    info = copy(camera_info)
    info.header = header
    return info
