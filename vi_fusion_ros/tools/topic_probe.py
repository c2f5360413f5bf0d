"""A look at image topics of a running graph, for ``vi-fusion doctor``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from vi_fusion_ros.doctor.topics import ProbedTopic
from vi_fusion_ros.images.compressed import decode_compressed, lost_depth
from vi_fusion_ros.images.encodings import ImageError, check_image
from vi_fusion_ros.node import qos
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.subscriptions import COMPRESSED_SUFFIXES

_IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_DISCOVERY_S = 3.0
_FAULTS = 3


def probe(topics: Mapping[str, str], seconds: float) -> dict[str, ProbedTopic]:
    """Listen to image topics.

    Args:
        topics: name by camera; ``…/compressed`` and ``…/compressedDepth`` are listened to as CompressedImage.
        seconds: how long, from when all of them were discovered or the time for that was over.
    """
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("vi_fusion_doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        looks = {camera: ProbedTopic(node.resolve_topic_name(topic)) for camera, topic in topics.items()}
        _spin(executor, _DISCOVERY_S, lambda: all(_publishers(node, look) for look in looks.values()))
        for each in looks.values():
            _listen(node, each)
        _spin(executor, seconds)
        for each in looks.values():
            _note_graph(node, each)
        return looks
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _spin(executor: SingleThreadedExecutor, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not done():
        executor.spin_once(timeout_sec=0.05)


def _listen(node: Node, look: ProbedTopic) -> None:
    types = dict(node.get_topic_names_and_types()).get(look.topic, [])
    look.compressed = look.topic.endswith(COMPRESSED_SUFFIXES) or list(types) == ["sensor_msgs/msg/CompressedImage"]
    kind = CompressedImage if look.compressed else Image

    def on_image(message: Any) -> None:
        look.arrivals_ns.append(node.get_clock().now().nanoseconds)
        look.stamps_ns.append(stamp_ns(message.header.stamp))
        try:
            _note_image(look, message)
        except ImageError as error:
            if str(error) not in look.faults and len(look.faults) < _FAULTS:
                look.faults.append(str(error))

    node.create_subscription(kind, look.topic, on_image, qos.copy_of(qos.IMAGE_IN))


def _note_image(look: ProbedTopic, message: Any) -> None:
    if not look.compressed:
        look.encodings.add(message.encoding)
        look.sizes.add((message.width, message.height))
        check_image(message)
    elif not look.encodings or look.faults:  # decoding each would cost a camera's worth of processor time
        look.encodings.add(message.format)
        image = decode_compressed(message)
        look.lost_depth = look.lost_depth or lost_depth(message.format, image)
        height, width = image.shape[:2]
        look.sizes.add((width, height))


def _publishers(node: Node, look: ProbedTopic) -> list[Any]:
    return list(node.get_publishers_info_by_topic(look.topic))


def _note_graph(node: Node, look: ProbedTopic) -> None:
    graph = {name: list(types) for name, types in node.get_topic_names_and_types()}
    publishers = _publishers(node, look)
    look.publishers = tuple(_qos_text(publisher.qos_profile) for publisher in publishers)
    # Our own subscription counts as a topic of its type in the graph.
    look.types = tuple(sorted({publisher.topic_type for publisher in publishers}))
    images = [name for name, types in graph.items() if set(types) & set(_IMAGE_TYPES)]
    look.images_on_graph = tuple(sorted(name for name in images if node.count_publishers(name)))


def _qos_text(profile: Any) -> str:
    reliability = "reliable" if profile.reliability == ReliabilityPolicy.RELIABLE else "best effort"
    durability = "transient local" if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else "volatile"
    return f"{reliability}, {durability}"
