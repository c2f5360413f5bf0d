"""Subscriptions whose messages arrive as serialised on the wire; wire_format.py reads them in place.

They are served by the node's executor. A thread of their own with a wait set of their own was measured and given up:
docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from vi_fusion_ros import image_codecs
from vi_fusion_ros.images import video
from vi_fusion_ros.node import qos, video_messages
from vi_fusion_ros.node.parameters.schema import transport_suffixes
from vi_fusion_ros.node.process.rare_callbacks import RareCallbacks
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.sync.stamped_image import Codec, StampedImage
from vi_fusion_ros.types import Camera

COMPRESSED_SUFFIXES = tuple(s for s in transport_suffixes() if s and s.removeprefix("/") not in video_messages.TYPES)
"""What image_transport puts behind the name of an image topic whose messages are ``CompressedImage``."""


def image_transport(settings: Mapping[str, Any], camera: Camera) -> str:
    """``raw``, ``compressed``, ``compressedDepth`` or ``zstd``; the older ``CAMERA.compressed`` counts, too."""
    transport = str(settings[f"{camera}.image_transport"])
    return "compressed" if transport == "raw" and settings[f"{camera}.compressed"] else transport


def image_topic(camera: str, transport: str) -> tuple[Any, str]:
    """Type and relative name of the image topic of a camera, or of ``depth``.

    Raises:
        ValueError: what the transport needs is not installed; one sentence.
    """
    if transport in video_messages.TYPES:
        asked_by = f"{camera}.image_transport {transport}"
        if not video.installed():
            raise ValueError(f"{asked_by} needs {video.PACKAGE}")
        return video_messages.message_type(transport, asked_by), f"{camera}/image/{transport}"
    return (Image, f"{camera}/image") if transport == "raw" else (CompressedImage, f"{camera}/image/{transport}")


def codec_of(transport: str) -> Codec:
    """What reads the messages of one topic; a new one for each, as video has a past."""
    kind = image_codecs.IMAGE if transport == "raw" else image_codecs.COMPRESSED
    return image_codecs.codec_of(video_messages.TYPES.get(transport, kind))


def stamped_image(camera: Camera, wire: bytes, codec: Codec, arrival_ns: int) -> StampedImage:
    """A serialised image message, checked.

    Args:
        camera: that it is of.
        wire: as received.
        codec: of its topic.
        arrival_ns: when it was received, monotonic.

    Raises:
        ImageError: it cannot be decoded; one sentence.
    """
    assert codec.read is not None
    return StampedImage.checked(camera, codec.read(wire), codec, arrival_ns)


class ImageSubscriptions:
    """Image subscriptions of one node.

    Args:
        node: the node that owns the subscriptions.
        report: takes one sentence about incompatible QoS; must not raise.
    """

    def __init__(self, node: Node, report: Callable[[str], None]) -> None:
        self._node, self._report = node, report
        self._subscriptions: list[Subscription] = []
        self._events = RareCallbacks()

    def subscribe(self, kind: Any, topic: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe; ``callback`` gets each message as serialised on the wire."""
        subscription = self._node.create_subscription(
            kind,
            topic,
            callback,
            qos.copy_of(qos.IMAGE_IN),
            event_callbacks=qos.on_incompatible_subscription(self._report, self._node.resolve_topic_name(topic)),
            qos_overriding_options=qos.overridable(),
            raw=True,
        )
        self._subscriptions.append(subscription)
        handlers: Any = subscription.event_handlers  # its type varies with the release
        self._events.take_over(handlers)

    def profile(self, topic: str) -> QoSProfile:
        """The QoS, overrides included, with which a topic (resolved name) is subscribed to."""
        return next(s.qos_profile for s in self._subscriptions if s.topic_name == topic)

    def stop(self) -> None:
        """Take the subscriptions off the graph."""
        subscriptions, self._subscriptions = self._subscriptions, []
        take_down((partial(self._node.destroy_subscription, s) for s in subscriptions), self._report)
