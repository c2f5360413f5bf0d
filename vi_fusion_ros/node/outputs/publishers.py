"""The fusion node's outputs: what a result becomes on each topic, made only for topics that somebody listens to."""

from __future__ import annotations

import array
import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from vi_fusion_ros import drawing
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.errors import sentence
from vi_fusion_ros.images import video_encoder
from vi_fusion_ros.images.compressed import fill_compressed
from vi_fusion_ros.images.point_clouds import FLOAT32, INTENSITY_FIELDS
from vi_fusion_ros.images.wire_format import image_bytes
from vi_fusion_ros.msg import Explanation, FusedClassification
from vi_fusion_ros.node import qos, video_messages
from vi_fusion_ros.node.messages import to_classification, to_header
from vi_fusion_ros.node.outputs import vision
from vi_fusion_ros.node.process.rare_callbacks import RareCallbacks
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.overlay_modes import overlay_in
from vi_fusion_ros.registration.cloud import turned
from vi_fusion_ros.registration.rig import Matrix
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.thermal_color import thermal_color
from vi_fusion_ros.thermal_points import thermal_points
from vi_fusion_ros.types import FramePair, FusionResult
from vi_fusion_ros.types import Image as Pixels

_OLD_NAMES = {
    "fused": "~/fused",
    "thermal_registered": "~/thermal_registered",
    "thermal_mask": "~/thermal_mask",
    "temperature": "~/thermal_kelvin",
    "attention": "~/attention",
    "overlay": "~/overlay",
}
"""Names of before by folder; they go with the next release."""


class _Folder(NamedTuple):
    """An image and its CameraInfo side by side, where image_transport's subscribers look for it."""

    image: Publisher
    camera_info: Publisher
    old: Publisher | None

    @property
    def images(self) -> tuple[Publisher, ...]:
        return (self.image,) if self.old is None else (self.image, self.old)

    @property
    def all(self) -> tuple[Publisher, ...]:
        return (*self.images, self.camera_info)


class ResultPublishers:
    """Publishers of one configured fusion node.

    Args:
        node: the node that owns them.
        manifest: of the loaded model.
        compressed: whether to offer ``~/fused/image/compressed`` too.
        kelvin: whether to offer ``~/temperature``.
        points: whether to offer ``~/thermal_points``.
        video: transport of the fused image as video, ``ffmpeg`` or ``foxglove``; ``none``: not offered.
        report: called with one sentence when a subscriber's QoS is incompatible or a topic cannot be published.

    Raises:
        Exception: a topic cannot be offered, for example for a QoS override that there is not, or for video without an
            encoder or its messages; then none is.
    """

    def __init__(
        self,
        node: Node,
        manifest: Manifest,
        compressed: bool,
        kelvin: bool,
        points: bool,
        video: str,
        report: Callable[[str], None],
    ) -> None:
        self._node = node
        self._report = report
        self._all: list[Publisher] = []
        self._events = RareCallbacks()
        self._kelvin: _Folder | None = None
        self._kelvin_lock = threading.Lock()  # it comes and goes with the rig while results are published
        try:
            self._fused = self._folder("fused")
            self._compressed: list[Publisher] = []
            if compressed:
                topics = ("~/fused/image/compressed", "~/fused/compressed")
                self._compressed = [self._publisher(CompressedImage, topic) for topic in topics]
            self.video = None if video == "none" else self._video(video)
            """Of the packets, where they are offered; ``VideoOutput`` fills it."""
            self._classification = self._publisher(FusedClassification, "~/classification")
            self._thermal = self._folder("thermal_registered")
            self._mask = self._folder("thermal_mask")
            self.offer_kelvin(kelvin)
            self._attention = self._folder("attention")
            self._overlay = self._folder("overlay")
            self._thermal_color = self._folder("thermal_color")
            self.explanation = self._publisher(Explanation, "~/explanation")
            self._points = [self._publisher(PointCloud2, "~/thermal_points")] if points else []
            self._offer_vision()
            self.set_model(manifest)
        except BaseException:
            self.destroy()
            raise

    def _video(self, transport: str) -> Publisher:
        asked_by = f"output.video {transport}"
        missing = video_encoder.fault()
        if missing:
            raise ValueError(f"{asked_by} needs {missing}")
        return self._publisher(
            video_messages.message_type(transport, asked_by), f"~/fused/image/{transport}", qos.VIDEO
        )

    def _offer_vision(self) -> None:
        self._vision: tuple[tuple[Publisher, Callable[[FusionResult, Header], Any]], ...] = ()
        self._label_info: Publisher | None = None
        if not vision.INSTALLED:
            self._node.get_logger().info(vision.MISSING, once=True)
            return
        self._vision = (
            (self._publisher(vision.Detection2DArray, "~/detections"), vision.to_detections),
            (self._publisher(vision.Classification, "~/classification_vision"), vision.to_classification),
        )
        self._label_info = self._publisher(vision.LabelInfo, "~/label_info", qos.LATCHED)

    def set_model(self, manifest: Manifest) -> None:
        """Name the model in what is published from now on, and say what its labels are."""
        self._model_id = manifest.model_id
        if self._label_info is None:
            return
        try:
            header = Header(stamp=self._node.get_clock().now().to_msg())
            self._label_info.publish(vision.to_label_info(manifest, header))
        except Exception as error:
            self._report(f"{self._label_info.topic_name}: the labels could not be published: {sentence(error)}")

    @property
    def offers_kelvin(self) -> bool:
        """Whether ``~/temperature`` is offered."""
        return self._kelvin is not None

    def offer_kelvin(self, offered: bool) -> None:
        """Offer ``~/temperature`` or take it off the graph."""
        with self._kelvin_lock:
            if offered and self._kelvin is None:
                self._kelvin = self._folder("temperature")
            elif not offered and self._kelvin is not None:
                gone, self._kelvin = self._kelvin, None
                for publisher in gone.all:
                    self._all.remove(publisher)
                    self._node.destroy_publisher(publisher)

    def publish(
        self,
        result: FusionResult,
        camera_info: CameraInfo | None,
        radiometry: Radiometry | None,
        settings: Mapping[str, Any],
        turn: Callable[[FramePair], Matrix],
    ) -> bool:
        """Publish a result. A topic that fails is reported; the others get theirs.

        Args:
            result: what to publish.
            camera_info: of the frame that the result is drawn in, None where there is none.
            radiometry: of the thermal image of this result, None where it is not known.
            settings: the node's parameters by name; those of ``output.*`` are used.
            turn: gives the rotation from the frame that ``frame_id`` names to that of the result's image, (3, 3).

        Returns:
            False where somebody listens and no topic could be published.
        """
        header = to_header(result.pair.reference)
        info = None if camera_info is None else _with_header(camera_info, header)
        outcomes: list[bool | None] = []

        def show(folder: _Folder, make: Callable[[], Pixels]) -> None:
            outcomes.append(self._offer(folder.images, lambda: _image(header, make())))
            if info is not None:
                outcomes.append(self._offer((folder.camera_info,), lambda: info))

        show(self._fused, lambda: result.fused)
        outcomes.append(self._offer((self._classification,), lambda: to_classification(result, self._model_id)))
        for publisher, convert in self._vision:
            outcomes.append(self._offer((publisher,), partial(convert, result, header)))
        outcomes.append(
            self._offer(
                self._compressed,
                lambda: fill_compressed(CompressedImage(header=header), result.fused, settings["output.jpeg_quality"]),
            )
        )
        registered, mask = result.thermal_registered, result.mask
        if registered is not None:
            show(self._thermal, lambda: registered)
            if radiometry is not None:
                kelvin = partial(_in_kelvin, registered, mask, radiometry)
                with self._kelvin_lock:
                    if self._kelvin is not None:
                        show(self._kelvin, kelvin)
        if mask is not None:
            show(self._mask, lambda: mask)
        show(self._attention, lambda: drawing.attention_grey(result))
        palette = settings["output.thermal_palette"]
        mode = settings["output.overlay_mode"]
        show(self._overlay, lambda: overlay_in(mode, result, palette, radiometry))
        if registered is not None:
            show(self._thermal_color, lambda: thermal_color(result, palette, radiometry))
        if result.distance is not None:
            outcomes.append(self._offer(self._points, lambda: _cloud(header, result, radiometry, turn(result.pair))))
        return True in outcomes or False not in outcomes

    def _offer(self, publishers: Iterable[Publisher], make: Callable[[], Any]) -> bool | None:
        """Publish what ``make`` returns, made once, where somebody listens; None: nobody does. False: it failed."""
        outcome: bool | None = None
        message = None
        for publisher in publishers:
            try:
                if publisher.get_subscription_count() == 0:
                    continue
                message = make() if message is None else message
                publisher.publish(message)
                outcome = True
            except Exception as error:
                self._report(f"{publisher.topic_name}: a result could not be published: {sentence(error)}")
                outcome = outcome or False
        return outcome

    def destroy(self) -> None:
        """Take the topics off the graph."""
        publishers, self._all = self._all, []
        take_down((partial(self._node.destroy_publisher, publisher) for publisher in publishers), self._report)

    def _folder(self, name: str) -> _Folder:
        return _Folder(
            self._publisher(Image, f"~/{name}/image"),
            self._publisher(CameraInfo, f"~/{name}/camera_info"),
            self._publisher(Image, _OLD_NAMES[name]) if name in _OLD_NAMES else None,
        )

    def _publisher(self, message: Any, topic: str, profile: QoSProfile = qos.OUT) -> Publisher:
        name = self._node.resolve_topic_name(topic)
        publisher = self._node.create_publisher(
            message,
            topic,
            qos.copy_of(profile),
            event_callbacks=qos.on_incompatible_publisher(self._report, name),
            callback_group=self._events,
            qos_overriding_options=qos.overridable(),
        )
        self._all.append(publisher)
        return publisher


def _image(header: Header, image: Pixels) -> bytes:
    return image_bytes((header.stamp.sec, header.stamp.nanosec), header.frame_id, image)


def _cloud(header: Header, result: FusionResult, radiometry: Radiometry | None, turn: Matrix) -> PointCloud2:
    points = thermal_points(result, radiometry)
    points[:, :3] = turned(points[:, :3], turn.T)
    step = points.itemsize * points.shape[1]
    fields = [PointField(name=name, offset=offset, datatype=FLOAT32, count=1) for name, offset in INTENSITY_FIELDS]
    message = PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=fields,
        is_bigendian=sys.byteorder == "big",
        point_step=step,
        row_step=step * len(points),
        is_dense=bool(np.isfinite(points[:, 3]).all()),
    )
    message.data = array.array("B", points.tobytes())  # the only type that rclpy takes without looking at each byte
    return message


def _in_kelvin(registered: Pixels, mask: Pixels | None, radiometry: Radiometry) -> Pixels:
    kelvin = radiometry.kelvin(registered)
    kelvin[mask == 0] = math.nan
    return kelvin


def _with_header(camera_info: CameraInfo, header: Header) -> CameraInfo:
    info = copy(camera_info)
    info.header = header
    return info
