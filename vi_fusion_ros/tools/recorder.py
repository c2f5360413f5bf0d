"""Listens to a fusion node for the demo: outputs into a bag, figures for the summary, moments for a mosaic."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

from vi_fusion_ros.bags.writer import BagWriter, compress
from vi_fusion_ros.drawing import mosaic_row
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.msg import FusedClassification, FusionStatus
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.objects import of_message
from vi_fusion_ros.types import Frame, FramePair, FusionResult, LabelScore, Mode
from vi_fusion_ros.types import Image as Pixels

FUSED = "fusion_node/fused/image"

_RECORDED: dict[str, tuple[type, str]] = {
    FUSED: (Image, "sensor_msgs/msg/Image"),
    "fusion_node/classification": (FusedClassification, "vi_fusion_ros/msg/FusedClassification"),
    "fusion_node/status": (FusionStatus, "vi_fusion_ros/msg/FusionStatus"),
}
_CAMERAS: dict[str, tuple[type, str]] = {
    f"{camera}/image": (Image, "sensor_msgs/msg/Image") for camera in ("visible", "thermal")
}
_SNAPSHOT_TOPICS = ("visible/image", "fusion_node/thermal_registered/image", "fusion_node/attention/image", FUSED)
_EVERYTHING = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, history=HistoryPolicy.KEEP_LAST)


class Recorder(Node):
    """Records ``~/fused/image``, ``~/classification``, ``~/status`` as they arrive, serialised; keeps the latest.

    Args:
        bag_path: of the bag, which is complete after ``close``.
        cameras: record both cameras' images too.
    """

    def __init__(self, bag_path: Path, cameras: bool = False) -> None:
        super().__init__("recorder")
        self.status: FusionStatus | None = None
        self.classification: FusedClassification | None = None
        self.labels_seen: Counter[str] = Counter()
        self.modes_seen: Counter[str] = Counter()
        self.end_to_end_ms: list[float] = []
        self.received: Counter[str] = Counter()
        self._fused_times: list[int] = []
        self.error: Exception | None = None
        self._queue: queue.SimpleQueue[tuple[str, str, int, bytes] | None] = queue.SimpleQueue()
        self._bag_path = bag_path
        self._writer = threading.Thread(target=self._write, name="bag_writer")
        self._writer.start()
        for topic, (kind, type_name) in {**_RECORDED, **(_CAMERAS if cameras else {})}.items():
            self.create_subscription(kind, topic, self._recorder_of(topic, kind, type_name), _EVERYTHING, raw=True)

    def fused_rate(self) -> float:
        """Mean rate of the fused images from the first to the last, Hz; 0 with fewer than two."""
        if len(self._fused_times) < 2:
            return 0.0
        return (len(self._fused_times) - 1) * 1e9 / (self._fused_times[-1] - self._fused_times[0])

    def close(self) -> None:
        """Finish the bag.

        Raises:
            OSError: if it could not be written.
        """
        self._queue.put(None)
        self._writer.join()
        if self.error is not None:
            raise OSError(f"{self._bag_path} could not be written: {self.error}")

    def _recorder_of(self, topic: str, kind: type, type_name: str) -> Callable[[bytes], None]:
        name = self.resolve_topic_name(topic)

        def record(data: bytes) -> None:
            now = time.time_ns()
            self.received[topic] += 1
            self._queue.put((name, type_name, now, data))
            if topic == FUSED:
                self._fused_times.append(now)
            elif kind is not Image:  # images stay serialised until the cameras are done with the processor
                self._take_note(deserialize_message(data, kind), now)

        return record

    def _take_note(self, message: Any, now_ns: int) -> None:
        if isinstance(message, FusionStatus):
            self.status = message
            return
        self.classification = message
        self.labels_seen.update(score.label for score in message.labels if score.present)
        self.modes_seen[Mode(message.mode).name] += 1
        self.end_to_end_ms.append((now_ns - stamp_ns(message.header.stamp)) / 1e6)

    def _write(self) -> None:
        try:
            live_path = self._bag_path.with_name(f"live_{self._bag_path.name}")
            with BagWriter(live_path, compressed=False) as bag:
                while (entry := self._queue.get()) is not None:
                    bag.write(*entry)
            compress(live_path, self._bag_path)  # now that the cameras are done with the processor
        except Exception as error:
            self.error = error


class Snapshot:
    """One moment of the streams: subscribes until it has every picture of one stamp, then unsubscribes.

    Args:
        recorder: whose node subscribes, and whose classification of that stamp labels the picture.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._images: dict[int, dict[str, Pixels]] = {}
        self._classifications: dict[int, FusedClassification] = {}
        self.row: Pixels | None = None
        self._subscriptions = [
            recorder.create_subscription(Image, topic, self._taker_of(topic), _EVERYTHING) for topic in _SNAPSHOT_TOPICS
        ]
        self._subscriptions.append(
            recorder.create_subscription(
                FusedClassification, "fusion_node/classification", self._take_classification, _EVERYTHING
            )
        )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._recorder.destroy_subscription(subscription)
        self._subscriptions = []

    def _taker_of(self, topic: str) -> Callable[[Image], None]:
        def take(message: Image) -> None:
            if self.row is None:
                self._images.setdefault(stamp_ns(message.header.stamp), {})[topic] = decode_image(message)
                self._try(stamp_ns(message.header.stamp))

        return take

    def _take_classification(self, message: FusedClassification) -> None:
        self._classifications[stamp_ns(message.header.stamp)] = message
        self._try(stamp_ns(message.header.stamp))

    def _try(self, stamp: int) -> None:
        images, message = self._images.get(stamp, {}), self._classifications.get(stamp)
        if self.row is not None or message is None or len(images) < len(_SNAPSHOT_TOPICS):
            return
        visible, thermal, attention, fused = (images[topic] for topic in _SNAPSHOT_TOPICS)
        if len({image.shape[:2] for image in images.values()}) > 1:  # of two pairs of cameras with the same stamps
            return
        result = FusionResult(
            pair=FramePair(Frame(visible, stamp), Frame(thermal, stamp_ns(message.thermal_stamp))),
            fused=fused,
            attention=attention.astype(np.float32) / np.float32(255),
            thermal_registered=thermal,
            mask=None,
            overlap=message.overlap,
            scores=tuple(LabelScore(s.label, s.probability, s.present) for s in message.labels),
            illumination=message.illumination,
            illumination_probability=message.illumination_probability,
            objects=tuple(map(of_message, message.objects)),
        )
        self.row = mosaic_row(result)
        self._images.clear()
