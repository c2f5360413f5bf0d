"""What runs while the fusion node is active: subscriptions, pairing, the worker that fuses, and publishing."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vi_fusion_ros.images import encodings, wire_format
from vi_fusion_ros.node.camera_info import CameraInfos
from vi_fusion_ros.node.drift_watch import DriftWatch
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.publishers import ResultPublishers
from vi_fusion_ros.node.status.graph_checks import Surroundings, ThreadCpuWait, dds_profile_fault, look_at_stream
from vi_fusion_ros.node.status.statistics import Statistics
from vi_fusion_ros.node.subscriptions import ImageSubscriptions
from vi_fusion_ros.node.synchronizer import Synchronizer, make_synchronizer
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.sync.health import CAMERAS, Camera, HealthMonitor, Limits, Route
from vi_fusion_ros.sync.pairing import PairingPolicy
from vi_fusion_ros.types import Frame, FramePair, FusionResult


class _Reporter:
    """What the synchronizer logs to: its errors count like ours."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.error = report


class ArrivedMessage:
    """An image message and the monotonic time of its arrival, nanoseconds; stamped, and so paired, like a message."""

    __slots__ = ("arrival_ns", "header", "message")

    def __init__(self, message: Any, arrival_ns: int) -> None:
        self.message = message
        self.header = message.header
        self.arrival_ns = arrival_ns


@dataclass(frozen=True)
class _Job:
    visible: ArrivedMessage | None
    thermal: ArrivedMessage | None
    skew_ns: int
    sync_wait_ns: int
    ready_ns: int

    @property
    def images(self) -> int:
        return sum(arrival is not None for arrival in (self.visible, self.thermal))

    @property
    def later_arrival_ns(self) -> int:
        return max(arrival.arrival_ns for arrival in (self.visible, self.thermal) if arrival)


class _Account:
    """Where the images of one job end: each is counted once, whatever raises.

    Args:
        statistics: takes the counts.
        images: of the job, in hand until they are settled here.
    """

    def __init__(self, statistics: Statistics, images: int) -> None:
        self._statistics, self._left = statistics, images

    def dropped(self, reason: str, images: int = 1) -> None:
        """Images of the job are not used."""
        self._left -= images
        self._statistics.dropped(reason, images, in_hand=True)

    def published(self, result: FusionResult, latency_ms: dict[str, float], age_s: float) -> None:
        """The result that was made of the others has gone out."""
        self._statistics.published(result, latency_ms, age_s)
        self._left -= result.pair.images

    def close(self) -> None:
        """What has not been settled could not be used."""
        if self._left:
            self.dropped("failed", self._left)


class Session:
    """One activation of the node. Where it cannot be made, nothing of it is left.

    Args:
        node: the node that owns the subscriptions.
        pipeline: fuses the pairs.
        publishers: take the results.
        settings: the node's parameters by name, a live view: those that apply at run time are read where they are used.
        statistics: takes the counts.
        report: takes one sentence about each error; must not raise.
        rig_offset_ns: from the rig file, added to the thermal stamps on top of the parameter.
        fusing: held while a pair is fused.

    Raises:
        Exception: the pairing, a subscription or the thread cannot be had.
    """

    def __init__(
        self,
        node: LifecycleNode,
        pipeline: FusionPipeline,
        publishers: ResultPublishers,
        settings: Mapping[str, Any],
        statistics: Statistics,
        report: Callable[[str], None],
        rig_offset_ns: int,
        fusing: threading.Lock,
    ) -> None:
        self.drift: DriftWatch | None = None
        """Is offered every pair that was published; closed with the session."""
        self._rig_offset_ns = rig_offset_ns
        self._fusing = fusing
        self._pairing_lock = threading.Lock()  # nothing may be added to a synchronizer that is being replaced
        self._past_drops: Counter[str] = Counter()
        self._past_pairs = self._past_resets = 0
        self._node, self._pipeline, self._publishers = node, pipeline, publishers
        self._settings, self._statistics, self._report = settings, statistics, report
        self._camera_infos = {camera: CameraInfos(partial(self._on_camera_info, camera)) for camera in CAMERAS}
        self._resets_seen = 0
        self.health = HealthMonitor(_limits(settings), time.monotonic())
        self._pairing_in_use = True
        self._worker: Worker[_Job] = Worker(
            self._fuse, self._poll, self._on_error, settings["queue_depth"], self._skipped
        )
        self._synchronizer = self._make_synchronizer()
        self.topics: dict[Camera, str] = {}
        """Image topics, resolved."""
        self._image_bytes: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self._intake: ImageSubscriptions | None = None
        self.on_camera_info: Callable[[Camera, CameraInfo], None] = lambda _camera, _message: None
        """Takes every camera_info that differs from the last one, besides."""
        self.registered = True
        """Whether thermal images can be put into visible ones; without, they are left out of the pairs."""
        try:
            pipeline.reset()
            self.enabled = True  # before the thread: QoS overrides are where it may fail
            self._worker.start()
            self._cpu_wait = ThreadCpuWait(self._worker.native_id)
        except BaseException:
            self.close()
            raise

    @property
    def pairing_drops(self) -> dict[str, int]:
        """Images that the pairing dropped, by reason."""
        return self._past_drops + Counter(self._synchronizer.drops)

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        return self._past_pairs + int(self._synchronizer.pairs)

    @property
    def time_resets(self) -> int:
        """Backward jumps of stamps."""
        return self._past_resets + int(self._synchronizer.time_resets)

    @property
    def held(self) -> int:
        """Images that wait for a partner."""
        return self._synchronizer.pending

    @property
    def enabled(self) -> bool:
        """Whether images are taken."""
        return self._intake is not None

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled and self._intake is None:
            self.health = HealthMonitor(_limits(self._settings), time.monotonic())
            self._intake = self._open_intake()
        elif not enabled and self._intake is not None:
            intake, self._intake = self._intake, None
            intake.stop()
            self._synchronizer.flush()

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Take over the parameters that are not read where they are used."""
        self._worker.depth = settings["queue_depth"]
        self.health.limits = _limits(settings)
        if _policy(settings, self._rig_offset_ns) != self._synchronizer.policy:
            self._replace_synchronizer()

    def replace_pipeline(self, pipeline: FusionPipeline) -> None:
        """Fuse with another pipeline from the next pair on; when this returns nothing uses the old one any more."""
        with self._fusing:
            self._pipeline = pipeline

    def replace_rig_offset(self, offset_ns: int) -> None:
        """Pair with another offset of the thermal stamps."""
        self._rig_offset_ns = offset_ns
        self.apply(self._settings)

    def surroundings(self) -> Surroundings:
        """What can be seen of the image topics, the DDS profile and the processor; since the last call."""
        cpu_wait = self._cpu_wait.share()
        if self._intake is None:
            return Surroundings(cpu_wait=cpu_wait)
        streams = {
            camera: look_at_stream(self._node, topic, self._intake.profile(topic), self._image_bytes[camera])
            for camera, topic in self.topics.items()
        }
        return Surroundings(streams, dds_profile_fault(max(self._image_bytes.values())), cpu_wait)

    def close(self) -> None:
        """Take the subscriptions off the graph, then finish the pair in hand; raises nothing."""
        take_down((self._disable, self._worker.stop, self._close_drift, self._settle), self._report)

    def _disable(self) -> None:
        self.enabled = False

    def _close_drift(self) -> None:
        if self.drift is not None:
            self.drift.close()

    def _settle(self) -> None:
        """Leave the counts of the pairing where they can be read when the session is gone."""
        self._statistics.pairing_ended(self.pairs, self.time_resets, self.pairing_drops)

    def _make_synchronizer(self) -> Synchronizer:
        synchronizer = make_synchronizer(
            self._settings["pairing.policy"],
            _policy(self._settings, self._rig_offset_ns),
            _Reporter(self._report),
        )
        synchronizer.registerCallback(self._on_pair)
        return synchronizer

    def _replace_synchronizer(self) -> None:
        """Pair by another policy; what is held is settled by the old one, and the counts go on."""
        with self._pairing_lock:
            old = self._synchronizer
            old.flush()
            self._synchronizer = self._make_synchronizer()
            self._past_drops.update(old.drops)
            self._past_pairs += old.pairs
            self._past_resets += old.time_resets

    def _open_intake(self) -> ImageSubscriptions:
        intake = ImageSubscriptions(self._node, self._report)
        try:
            for camera in CAMERAS:
                self._subscribe(intake, camera)
        except BaseException:
            intake.stop()
            raise
        return intake

    def _subscribe(self, intake: ImageSubscriptions, camera: Camera) -> None:
        compressed = self._settings[f"{camera}.compressed"]
        topic = f"{camera}/image/compressed" if compressed else f"{camera}/image"
        self.topics[camera] = self._node.resolve_topic_name(topic)
        kind, read = (CompressedImage, checked_compressed) if compressed else (Image, checked_image)
        intake.subscribe(kind, topic, lambda wire: self._on_image(camera, wire, read))
        intake.subscribe(CameraInfo, f"{camera}/camera_info", self._camera_infos[camera])

    def _on_camera_info(self, camera: Camera, message: CameraInfo) -> None:
        self.on_camera_info(camera, message)

    def _on_image(self, camera: Camera, wire: bytes, read: Callable[[bytes], Any]) -> None:
        now = time.monotonic_ns()
        self._statistics.received(camera)
        try:
            self._image_bytes[camera] = len(wire)
            self._take(camera, ArrivedMessage(read(wire), now))
        except encodings.ImageError as error:
            self._statistics.dropped(f"invalid_{camera}")
            self._report_invalid(camera, error)
        except Exception as error:
            self._statistics.dropped("failed")
            self._on_error(error)

    def _take(self, camera: Camera, arrival: ArrivedMessage) -> None:
        route = self.health.arrived(camera, arrival.arrival_ns / 1e9)
        if route is Route.pair:
            self._pairing_in_use = True
            with self._pairing_lock:
                add = self._synchronizer.add_visible if camera == "visible" else self._synchronizer.add_thermal
                add(arrival)
            self._worker.wake()
        elif route is Route.alone:
            self._leave_pairing()
            visible, thermal = (arrival, None) if camera == "visible" else (None, arrival)
            self._submit(_Job(visible, thermal, 0, 0, arrival.arrival_ns))
        else:
            self._statistics.dropped("recovering")

    def _leave_pairing(self) -> None:
        """Settle what waits for a partner: its time has passed once newer images go out alone."""
        if self._pairing_in_use:
            self._pairing_in_use = False
            self._synchronizer.flush()

    def _submit(self, job: _Job) -> None:
        self._statistics.in_hand(job.images)
        self._worker.submit(job)

    def _skipped(self, job: _Job) -> None:
        self._statistics.dropped("skipped", job.images, in_hand=True)

    def _poll(self) -> int | None:
        deadline: int | None = self._synchronizer.poll()
        return deadline

    def _on_pair(self, visible: ArrivedMessage, thermal: ArrivedMessage, skew_ns: int, sync_wait_ns: int) -> None:
        self._submit(_Job(visible, thermal, skew_ns, sync_wait_ns, time.monotonic_ns()))
        self._statistics.paired(skew_ns / 1e9)

    def _fuse(self, job: _Job) -> None:
        account = _Account(self._statistics, job.images)
        try:
            with self._fusing:
                self._make_result(job, account)
        except Exception as error:
            self._on_error(error)
        finally:
            account.close()

    def _make_result(self, job: _Job, account: _Account) -> None:
        if self.time_resets != self._resets_seen:  # a bag looped: nothing of before may smooth what comes now
            self._resets_seen = self.time_resets
            self._pipeline.reset()
        start = time.monotonic_ns()
        visible = self._usable("visible", job.visible, account)
        thermal = self._usable("thermal", job.thermal, account)
        if visible is None and thermal is None:  # each of them has been counted
            return
        if visible is not None and thermal is not None and not self.registered:
            account.dropped("unregistered")
            thermal = None
        pair = FramePair(visible, thermal, job.skew_ns if visible and thermal else 0, job.sync_wait_ns / 1e6)
        decoded = time.monotonic_ns()
        result = self._pipeline.process(pair)
        fused = time.monotonic_ns()
        published = self._publishers.publish(
            result, self._camera_info(pair), self._pipeline.radiometry, self._settings["output.jpeg_quality"]
        )
        if not published:
            return
        end = time.monotonic_ns()
        latency_ms = {
            "sync_wait": pair.sync_wait_ms,
            "queue": (start - job.ready_ns) / 1e6,
            "decode": (decoded - start) / 1e6,
            **result.timings_ms,
            "publish": (end - fused) / 1e6,
            "total": (end - job.later_arrival_ns) / 1e6,
        }
        age_s = (self._node.get_clock().now().nanoseconds - pair.reference.stamp_ns) / 1e9
        account.published(result, latency_ms, age_s)
        if self.drift is not None:
            self.drift.offer(pair)

    def _camera_info(self, pair: FramePair) -> CameraInfo | None:
        """Of the camera that the result is drawn in."""
        camera: Camera = "thermal" if pair.visible is None else "visible"
        height, width = pair.reference.image.shape[:2]
        return self._camera_infos[camera].of(pair.reference.stamp_ns, (width, height))

    def _usable(self, camera: Camera, arrival: ArrivedMessage | None, account: _Account) -> Frame | None:
        """The decoded frame, unless there is none, it is broken, or its stream is not fit to be used."""
        if arrival is None:
            return None
        try:
            frame = self._decode(camera, arrival)
        except encodings.ImageError as error:
            account.dropped(f"invalid_{camera}")
            self._report_invalid(camera, error)
            return None
        if not self.health.usable(camera, frame.image, arrival.arrival_ns / 1e9):
            account.dropped(f"unusable_{camera}")
            return None
        return frame

    def _decode(self, camera: Camera, arrival: ArrivedMessage) -> Frame:
        decode = encodings.decode_compressed if self._settings[f"{camera}.compressed"] else encodings.decode_image
        return Frame(decode(arrival.message), stamp_ns(arrival.header.stamp), arrival.header.frame_id)

    def _report_invalid(self, camera: Camera, error: encodings.ImageError) -> None:
        self._report(f"{self.topics[camera]}: {error}")

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, ValueError):  # already a sentence for the user
            self._report(str(error))
        else:
            where = traceback.format_tb(error.__traceback__, limit=-1)
            self._report(
                f"unexpected {type(error).__name__} while fusing: {error} ({' '.join(''.join(where).split())})"
            )


def checked_image(wire: bytes) -> Any:
    """A serialised sensor_msgs/Image that can be decoded.

    Raises:
        ImageError: it cannot; one sentence.
    """
    message: Any = wire_format.read_image(wire)
    if message.encoding not in encodings.PLAIN_ENCODINGS:
        message = deserialize_message(wire, Image)  # cv_bridge wants the real thing
    encodings.check_image(message)
    return message


def checked_compressed(wire: bytes) -> Any:
    """A serialised sensor_msgs/CompressedImage that is worth decoding.

    Raises:
        ImageError: it is not; one sentence.
    """
    message = wire_format.read_compressed(wire)
    encodings.check_compressed(message)
    return message


def _limits(settings: Mapping[str, Any]) -> Limits:
    return Limits(
        silence_s=settings["single_camera_timeout"],
        fault_s=settings["health.fault_time"],
        recovery_s=settings["health.recovery_time"],
    )


def _policy(settings: Mapping[str, Any], rig_offset_ns: int) -> PairingPolicy:
    return PairingPolicy(
        max_skew_ns=round(settings["pairing.max_skew"] * 1e9),
        max_wait_ns=round(settings["pairing.max_wait"] * 1e9),
        visible_offset_ns=round(settings["visible.time_offset"] * 1e9),
        thermal_offset_ns=round(settings["thermal.time_offset"] * 1e9) + rig_offset_ns,
        queue_size=settings["pairing.queue_size"],
    )
