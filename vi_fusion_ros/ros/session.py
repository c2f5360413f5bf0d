"""What runs while the fusion node is active: subscriptions, pairing, the worker that fuses, and publishing."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vi_fusion_ros.frames import Frame, FramePair
from vi_fusion_ros.health import CAMERAS, Camera, HealthMonitor, Limits, Route
from vi_fusion_ros.pairing import PairingPolicy
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.ros import image_codec, qos
from vi_fusion_ros.ros.drift_watch import DriftWatch
from vi_fusion_ros.ros.messages import stamp_ns
from vi_fusion_ros.ros.publishers import ResultPublishers
from vi_fusion_ros.ros.statistics import Statistics
from vi_fusion_ros.ros.synchronizer import make_synchronizer
from vi_fusion_ros.ros.worker import Worker


class _Reporter:
    """What the synchronizer logs to: its errors count like ours."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.error = report


class Arrival:
    """An image message and the monotonic time of its arrival, nanoseconds; stamped, and so paired, like a message."""

    __slots__ = ("arrival_ns", "header", "message")

    def __init__(self, message: Any, arrival_ns: int) -> None:
        self.message = message
        self.header = message.header
        self.arrival_ns = arrival_ns


@dataclass(frozen=True)
class _Job:
    visible: Arrival | None
    thermal: Arrival | None
    skew_ns: int
    sync_wait_ns: int
    ready_ns: int

    @property
    def images(self) -> int:
        return sum(arrival is not None for arrival in (self.visible, self.thermal))

    @property
    def later_arrival_ns(self) -> int:
        return max(arrival.arrival_ns for arrival in (self.visible, self.thermal) if arrival)


class Session:
    """One activation of the node.

    Args:
        node: the node that owns the subscriptions.
        pipeline: fuses the pairs.
        publishers: take the results.
        settings: the node's parameters by name, a live view: those that apply at run time are read where they are used.
        statistics: takes the counts.
        report: takes one sentence about each error; must not raise.
        rig_offset_ns: from the rig file, added to the thermal stamps on top of the parameter.
        drift: is offered every pair that was fused, or None.
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
        drift: DriftWatch | None,
    ) -> None:
        self.drift = drift
        self._node, self._pipeline, self._publishers = node, pipeline, publishers
        self._settings, self._statistics, self._report = settings, statistics, report
        self._camera_info: dict[Camera, CameraInfo] = {}
        self._resets_seen = 0
        self.health = HealthMonitor(_limits(settings), time.monotonic())
        self._pairing_in_use = True
        self._worker: Worker[_Job] = Worker(
            self._fuse, self._poll, self._on_error, settings["queue_depth"], self._skipped
        )
        self._synchronizer = make_synchronizer(
            settings["pairing.policy"], _policy(settings, rig_offset_ns), _Reporter(report)
        )
        self._synchronizer.registerCallback(self._on_pair)
        self._topics: dict[Camera, str] = {}
        pipeline.reset()
        self._worker.start()
        self._subscriptions = [s for camera in CAMERAS for s in self._subscribe(camera)]

    @property
    def pairing_drops(self) -> dict[str, int]:
        """Images that the pairing dropped, by reason."""
        return {str(reason): count for reason, count in self._synchronizer.drops.items()}

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        return int(self._synchronizer.pairs)

    @property
    def time_resets(self) -> int:
        """Backward jumps of stamps."""
        return int(self._synchronizer.time_resets)

    @property
    def held(self) -> int:
        """Images that wait for a partner."""
        return self._synchronizer.pending

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Take over the parameters that are not read where they are used."""
        self._worker.depth = settings["queue_depth"]
        self.health.limits = _limits(settings)

    def close(self) -> None:
        """Take the subscriptions off the graph, then finish the pair in hand."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._worker.stop()
        if self.drift is not None:
            self.drift.close()

    def _subscribe(self, camera: Camera) -> list[Subscription]:
        compressed = self._settings[f"{camera}.compressed"]
        topic = f"{camera}/image/compressed" if compressed else f"{camera}/image"
        self._topics[camera] = self._node.resolve_topic_name(topic)
        check = image_codec.check_compressed if compressed else image_codec.check_image

        def on_image(message: Any) -> None:
            self._on_image(camera, message, check)

        def on_camera_info(message: CameraInfo) -> None:
            self._camera_info[camera] = message

        return [
            self._subscription(CompressedImage if compressed else Image, topic, on_image),
            self._subscription(CameraInfo, f"{camera}/camera_info", on_camera_info),
        ]

    def _subscription(self, message: Any, topic: str, callback: Callable[[Any], None]) -> Subscription:
        return self._node.create_subscription(
            message,
            topic,
            callback,
            qos.copy_of(qos.IMAGE_IN),
            event_callbacks=qos.on_incompatible_subscription(self._report, self._node.resolve_topic_name(topic)),
            qos_overriding_options=qos.overridable(),
        )

    def _on_image(self, camera: Camera, message: Any, check: Callable[[Any], None]) -> None:
        now = time.monotonic_ns()
        self._statistics.received(camera)
        try:
            check(message)
        except image_codec.ImageError as error:
            self._invalid(camera, error)
            return
        arrival = Arrival(message, now)
        route = self.health.arrived(camera, now / 1e9)
        if route is Route.pair:
            self._pairing_in_use = True
            add = self._synchronizer.add_visible if camera == "visible" else self._synchronizer.add_thermal
            add(arrival)
            self._worker.wake()
        elif route is Route.alone:
            self._leave_pairing()
            visible, thermal = (arrival, None) if camera == "visible" else (None, arrival)
            self._submit(_Job(visible, thermal, 0, 0, now))
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
        self._statistics.in_hand(-job.images)
        self._statistics.dropped("skipped", job.images)

    def _poll(self) -> int | None:
        deadline: int | None = self._synchronizer.poll()
        return deadline

    def _on_pair(self, visible: Arrival, thermal: Arrival, skew_ns: int, sync_wait_ns: int) -> None:
        self._statistics.paired(skew_ns / 1e9)
        self._submit(_Job(visible, thermal, skew_ns, sync_wait_ns, time.monotonic_ns()))

    def _fuse(self, job: _Job) -> None:
        try:
            self._make_result(job)
        finally:
            self._statistics.in_hand(-job.images)

    def _make_result(self, job: _Job) -> None:
        if self.time_resets != self._resets_seen:  # a bag looped: nothing of before may smooth what comes now
            self._resets_seen = self.time_resets
            self._pipeline.reset()
        start = time.monotonic_ns()
        visible = self._usable("visible", job.visible)
        thermal = self._usable("thermal", job.thermal)
        if visible is None and thermal is None:  # each of them has been counted
            return
        pair = FramePair(visible, thermal, job.skew_ns if visible and thermal else 0, job.sync_wait_ns / 1e6)
        decoded = time.monotonic_ns()
        try:
            result = self._pipeline.process(pair)
        except Exception as error:
            self._statistics.dropped("failed", sum(frame is not None for frame in (visible, thermal)))
            self._on_error(error)
            return
        fused = time.monotonic_ns()
        if self.drift is not None:
            self.drift.offer(pair)
        camera: Camera = "thermal" if visible is None else "visible"
        self._publishers.publish(result, self._camera_info.get(camera), self._settings["output.jpeg_quality"])
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
        self._statistics.published(result, latency_ms, age_s)

    def _usable(self, camera: Camera, arrival: Arrival | None) -> Frame | None:
        """The decoded frame, unless there is none, it is broken, or its stream is not fit to be used."""
        frame = None if arrival is None else self._decode(camera, arrival)
        if frame is None or arrival is None:
            return None
        if not self.health.usable(camera, frame.image, arrival.arrival_ns / 1e9):
            self._statistics.dropped(f"unusable_{camera}")
            return None
        return frame

    def _decode(self, camera: Camera, arrival: Arrival) -> Frame | None:
        decode = image_codec.decode_compressed if self._settings[f"{camera}.compressed"] else image_codec.decode_image
        try:
            image = decode(arrival.message)
        except image_codec.ImageError as error:
            self._invalid(camera, error)
            return None
        return Frame(image, stamp_ns(arrival.header.stamp), arrival.header.frame_id)

    def _invalid(self, camera: Camera, error: image_codec.ImageError) -> None:
        self._statistics.dropped(f"invalid_{camera}")
        self._report(f"{self._topics[camera]}: {error}")

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, ValueError):  # already a sentence for the user
            self._report(str(error))
        else:
            where = traceback.format_tb(error.__traceback__, limit=-1)
            self._report(
                f"unexpected {type(error).__name__} while fusing: {error} ({' '.join(''.join(where).split())})"
            )


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
