"""Images of two live topics for the commands: pairs now and then, or every frame for a while."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vi_fusion_ros.images import encodings
from vi_fusion_ros.images.compressed import decode_compressed
from vi_fusion_ros.node import qos
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.subscriptions import COMPRESSED_SUFFIXES
from vi_fusion_ros.sync.health import CAMERAS, Camera
from vi_fusion_ros.sync.pair_stream import POLICY
from vi_fusion_ros.sync.pairing import NearestPairing
from vi_fusion_ros.types import Frame, FramePair

_SILENCE_S = 10.0


def live_pairs(topics: dict[Camera, str], count: int, every_s: float) -> Iterator[FramePair]:
    """Pairs of two topics by the node's pairing, not more often than every so many seconds.

    Args:
        topics: image topic of each camera; ``…/compressed`` and ``…/compressedDepth`` are CompressedImages.
        count: how many.
        every_s: least time from one to the next, seconds.

    Raises:
        ValueError: a topic stays silent, or no two images belong together.
    """
    pairing: NearestPairing[Frame] = NearestPairing(POLICY)
    ready: list[FramePair] = []

    def take(camera: Camera, frame: Frame) -> None:
        add = pairing.add_visible if camera == "visible" else pairing.add_thermal
        now = time.monotonic_ns()
        found = [*add(frame, frame.stamp_ns, now), *pairing.poll(now)]
        ready.extend(FramePair(pair.visible, pair.thermal, pair.skew_ns) for pair in found)

    with _listening(topics, take) as spin:
        last, given = -every_s, 0
        while given < count:
            waiting_since = time.monotonic()
            while not ready:
                spin()
                if time.monotonic() - waiting_since > 2 * _SILENCE_S:
                    raise ValueError(
                        f"no two images of {topics['visible']} and {topics['thermal']} are of one moment (within "
                        f"{POLICY.max_skew_ns / 1e6:g} ms); do both cameras stamp with one clock?"
                    )
            if time.monotonic() - last >= every_s:
                last, given = time.monotonic(), given + 1
                yield ready[-1]
            ready.clear()


def live_frames(topics: dict[Camera, str], seconds: float, take: Callable[[Camera, Frame], None]) -> None:
    """Hand over every frame of two topics for some seconds.

    Raises:
        ValueError: a topic stays silent.
    """
    with _listening(topics, take) as spin:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            spin()


@contextmanager
def _listening(topics: dict[Camera, str], take: Callable[[Camera, Frame], None]) -> Iterator[Callable[[], None]]:
    """Gives what waits shortly for messages; it raises ValueError once a topic has been silent for ten seconds.

    Only these waits count as silence: looking for a board in a pair may take longer.
    """
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("vi_fusion_calibrate", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    silent_s = dict.fromkeys(CAMERAS, 0.0)
    faults: list[str] = []

    def receive(camera: Camera, compressed: bool, message: Any) -> None:
        try:
            image = (decode_compressed if compressed else encodings.decode_image)(message)
        except encodings.ImageError as error:
            faults.append(f"{topics[camera]}: {error}")
            return
        silent_s[camera] = 0.0
        take(camera, Frame(image, stamp_ns(message.header.stamp), message.header.frame_id))

    def spin() -> None:
        before = time.monotonic()
        with _interrupted_after():
            executor.spin_once(0.1)
        waited_s = time.monotonic() - before
        for camera, topic in topics.items():
            silent_s[camera] += waited_s
            if silent_s[camera] > _SILENCE_S:
                raise ValueError(_silence(node, topic, faults))

    try:
        for camera, topic in topics.items():
            compressed = topic.endswith(COMPRESSED_SUFFIXES)
            kind = CompressedImage if compressed else Image
            node.create_subscription(kind, topic, partial(receive, camera, compressed), qos.copy_of(qos.IMAGE_IN))
        yield spin
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


@contextmanager
def _interrupted_after() -> Iterator[None]:
    """Ctrl-C is raised at the end of the block, not inside of it.

    Where rclpy is just converting a message, its bindings would make a RuntimeError of it, and nobody could tell.
    """
    asked: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _silence(node: Node, topic: str, faults: list[str]) -> str:
    of_topic = [fault for fault in faults if fault.startswith(f"{topic}:")]
    if of_topic:
        return of_topic[-1]
    images = [
        name
        for name, kinds in node.get_topic_names_and_types()
        if any("Image" in kind for kind in kinds) and node.count_publishers(name)
    ]
    return (
        f"no image on {topic} within {_SILENCE_S:g} s; image topics that can be seen: "
        f"{', '.join(sorted(set(images))) or 'none'}"
    )
