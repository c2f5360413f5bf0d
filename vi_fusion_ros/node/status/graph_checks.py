"""What the node can see around it: who publishes its images and how, the DDS profile, its share of the processor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from vi_fusion_ros.doctor.findings import Level
from vi_fusion_ros.doctor.ros_environment import dds
from vi_fusion_ros.node.outputs.video_output import VideoCounts
from vi_fusion_ros.sync.health import Camera

_DATAGRAM_BYTES = 65_507  # what is longer does not fit one UDP datagram, and needs a profile


@dataclass(frozen=True)
class Stream:
    """One image topic.

    Attributes:
        topic: resolved name.
        publishers: how many there are.
        conflicts: a sentence for each publisher that this node cannot hear.
        image_bytes: size of the latest message as serialised; 0 before the first.
        unstamped: whether images have come without a stamp lately.
        size_changes: how often an image had another size than the one before.
    """

    topic: str
    publishers: int
    conflicts: tuple[str, ...] = ()
    image_bytes: int = 0
    unstamped: bool = False
    size_changes: int = 0


@dataclass(frozen=True)
class GraphChecks:
    """What was seen.

    Attributes:
        streams: by camera; empty while the node takes no images.
        dds_profile: what is wrong with it for images of this size; empty where nothing is.
        cpu_wait: share of its time that the worker was ready to run and did not get a processor, 0 to 1; None where the
            kernel does not tell.
        no_output: why nothing goes out though images arrive; empty where that is not so.
        video: what has become of the images that were to be video; None where there is none.
    """

    streams: dict[Camera, Stream] = field(default_factory=dict)
    dds_profile: str = ""
    cpu_wait: float | None = None
    no_output: str = ""
    video: VideoCounts | None = None


def look_at_stream(node: Node, topic: str, profile: QoSProfile, image_bytes: int) -> Stream:
    """The publishers of a topic that is subscribed to with ``profile``."""
    publishers = node.get_publishers_info_by_topic(topic)
    return Stream(topic, len(publishers), tuple(_conflicts(topic, profile, publishers)), image_bytes)


def dds_profile_fault(largest_image_bytes: int) -> str:
    """What is wrong with the DDS profile for images of this size, and what to do; empty where nothing is."""
    if largest_image_bytes <= _DATAGRAM_BYTES:
        return ""
    for finding in dds():
        if finding.subject == "profile" and finding.level >= Level.WARNING:
            return f"images of {largest_image_bytes // 1000} kB: {finding.says}. {finding.advice}"
    return ""


class ThreadCpuWait:
    """How much of its time a thread of this process waits for a processor, from Linux' ``schedstat``.

    Args:
        native_id: of the thread.
    """

    def __init__(self, native_id: int) -> None:
        self._path = Path(f"/proc/self/task/{native_id}/schedstat")
        self._before = self._read()

    def share(self) -> float | None:
        """Waiting over waiting and running since the last call, 0 to 1; None where the kernel does not tell."""
        before, now = self._before, self._read()
        self._before = now
        if before is None or now is None:
            return None
        ran, waited = now[0] - before[0], now[1] - before[1]
        return waited / (ran + waited) if ran + waited > 0 else 0.0

    def _read(self) -> tuple[int, int] | None:
        try:
            ran, waited, _ = map(int, self._path.read_text().split())
        except (OSError, ValueError):
            return None
        return ran, waited


def _conflicts(topic: str, mine: QoSProfile, publishers: Iterable[Any]) -> list[str]:
    found = []
    for publisher in publishers:
        theirs = publisher.qos_profile
        name = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
        policies = []
        if mine.reliability == ReliabilityPolicy.RELIABLE and theirs.reliability == ReliabilityPolicy.BEST_EFFORT:
            policies.append("RELIABILITY (it is best effort, this node wants reliable)")
        if mine.durability == DurabilityPolicy.TRANSIENT_LOCAL and theirs.durability == DurabilityPolicy.VOLATILE:
            policies.append("DURABILITY (it is volatile, this node wants transient local)")
        if policies:
            found.append(
                f"nothing comes from {name}: its QoS on {topic} is incompatible in {' and '.join(policies)}; change it "
                f"there, or here by qos_overrides.{topic}.subscription.*"
            )
    return found
