"""The fused images as video beside the frame path: a thread encodes them; it works only while somebody subscribes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from rclpy.publisher import Publisher
from std_msgs.msg import Header

from vi_fusion_ros.images.video_encoder import VideoEncoder
from vi_fusion_ros.node.video_messages import to_message
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.types import Image


@dataclass(frozen=True)
class VideoCounts:
    """Where the images that were offered while somebody listened have ended, from activation on.

    Attributes:
        offered: the sum of the others, and of those that wait or are in hand.
        sent: published as packets.
        keys: of these, key frames.
        bytes: of these, all together.
        skipped: overtaken by newer ones while the encoder was busy.
        failed: not encoded or not published.
        encode_ms: what encoding and publishing the latest one took, milliseconds.
    """

    offered: int = 0
    sent: int = 0
    keys: int = 0
    bytes: int = 0
    skipped: int = 0
    failed: int = 0
    encode_ms: float = 0.0


class _Job(NamedTuple):
    header: Header
    image: Image


class VideoOutput:
    """Publishes results as packets of video, in order, the newest first where the encoder falls behind.

    What is skipped is skipped before it is encoded, so that the packets that are sent can all be decoded. There is a
    key frame at the start, whenever another subscriber is seen, and each ``key_interval_s``: a subscription that is
    counted may not hear yet.

    Args:
        publisher: of FFMPEGPacket or CompressedVideo.
        key_interval_s: between key frames, seconds.
        on_error: takes exceptions; must not raise.
    """

    def __init__(self, publisher: Publisher, key_interval_s: float, on_error: Callable[[Exception], None]) -> None:
        self._publisher = publisher
        self._encoder = VideoEncoder(key_interval_s)
        self._listeners = 0
        self._key_wanted = threading.Event()
        self._lock = threading.Lock()
        self._counts = VideoCounts()
        self._worker: Worker[_Job] = Worker(self._send, lambda: None, on_error, depth=1, on_drop=self._skip)
        self._worker.start()

    @property
    def topic(self) -> str:
        """Resolved name."""
        return str(self._publisher.topic_name)

    @property
    def counts(self) -> VideoCounts:
        """What has become of the images so far."""
        with self._lock:
            return self._counts

    def offer(self, header: Header, image: Image) -> None:
        """Give an image of the frame path, (H, W) uint8 or (H, W, 3) uint8 BGR, that nobody writes to any more.

        Returns at once, whatever the encoder does.
        """
        listeners = self._publisher.get_subscription_count()
        if listeners > self._listeners:
            self._key_wanted.set()
        self._listeners = listeners
        if listeners:
            self._count(offered=1)
            self._worker.submit(_Job(header, image))

    def close(self) -> None:
        """Finish the image in hand and end the thread."""
        self._worker.stop()

    def _send(self, job: _Job) -> None:
        start_ns = time.monotonic_ns()
        key = self._key_wanted.is_set()
        if key:
            self._key_wanted.clear()
        try:
            packet = self._encoder.encode(job.image, start_ns, key)
            height, width = job.image.shape[:2]
            self._publisher.publish(to_message(self._publisher.msg_type, job.header, packet, (width, height)))
        except Exception:
            self._key_wanted.set()  # whoever listens has lost a picture that the next ones need
            self._count(failed=1)
            raise
        self._count(sent=1, keys=int(packet.key), bytes=len(packet.data))
        with self._lock:
            self._counts = replace(self._counts, encode_ms=(time.monotonic_ns() - start_ns) / 1e6)

    def _skip(self, _job: _Job) -> None:
        self._count(skipped=1)

    def _count(self, **more: int) -> None:
        with self._lock:
            self._counts = replace(self._counts, **{n: getattr(self._counts, n) + m for n, m in more.items()})
