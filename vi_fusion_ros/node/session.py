"""What runs while the fusion node is active: subscriptions, pairing, the worker that fuses, and publishing."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, PointCloud2

from vi_fusion_ros.images import encodings
from vi_fusion_ros.images.compressed import lost_depth
from vi_fusion_ros.images.telemetry import Telemetry
from vi_fusion_ros.node.geometry.camera_info import CameraInfos, rectification
from vi_fusion_ros.node.geometry.depth_source import DepthImages, DepthSource, PointClouds
from vi_fusion_ros.node.geometry.drift_watch import DriftWatch
from vi_fusion_ros.node.geometry.tf_subscriptions import subscribe_to_transforms
from vi_fusion_ros.node.geometry.transforms import Transforms
from vi_fusion_ros.node.messages import to_header
from vi_fusion_ros.node.outputs.explanation_watch import ExplanationWatch
from vi_fusion_ros.node.outputs.publishers import ResultPublishers
from vi_fusion_ros.node.outputs.video_output import VideoOutput
from vi_fusion_ros.node.pairing_policies import make_pairing, pairing_policy
from vi_fusion_ros.node.status.change_log import ChangeLog
from vi_fusion_ros.node.status.graph_checks import GraphChecks, ThreadCpuWait, dds_profile_fault, look_at_stream
from vi_fusion_ros.node.status.output_watch import OutputWatch
from vi_fusion_ros.node.status.statistics import Statistics
from vi_fusion_ros.node.subscriptions import ImageSubscriptions, codec_of, image_topic, image_transport, stamped_image
from vi_fusion_ros.node.teardown import take_down
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.registration.info_lens import is_rectified
from vi_fusion_ros.registration.rig import Matrix
from vi_fusion_ros.sync.health import HealthMonitor, Limits
from vi_fusion_ros.sync.inbox import Arrival, Inbox
from vi_fusion_ros.sync.size_watch import SizeWatch
from vi_fusion_ros.sync.stamp_source import stamp_sources
from vi_fusion_ros.sync.stamped_image import Codec, StampedImage
from vi_fusion_ros.sync.stamps import StampMonitor
from vi_fusion_ros.sync.streams import CameraStreams, FusionJob
from vi_fusion_ros.types import CAMERAS, Camera, Frame, FramePair, FusionResult

_DEPTH_TOLD_EVERY_S = 10.0  # a depth topic that comes and goes changes the registration with every pair
_THERMAL_COLOUR = (
    "thermal images in colour are taken as grey, and a false-colour image has lost its temperatures; let the driver "
    "send mono16 or mono8"
)


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

    The executor's thread takes images, checks them and says by their arrival what to do with each; the worker's thread,
    and no other, pairs, decodes, fuses and publishes them.

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
        self._forget_transforms: list[Callable[[], object]] = []
        self.depth: DepthSource | None = None
        """Where the parameters name a source of depth."""
        self._depth_log = ChangeLog(_DEPTH_TOLD_EVERY_S)
        self.explanations: ExplanationWatch | None = None
        """Is offered every result that was published; closed with the session."""
        self.video: VideoOutput | None = None
        """Is offered every result that was published; closed with the session."""
        self._rig_offset_ns = rig_offset_ns
        self._fusing = fusing
        self._node, self._pipeline, self._publishers = node, pipeline, publishers
        self._settings, self._statistics, self._report = settings, statistics, report
        self._camera_infos = {
            camera: CameraInfos(partial(self._on_camera_info, camera), pipeline.framings[camera]) for camera in CAMERAS
        }
        self._resets_seen = 0
        self.health = HealthMonitor(_limits(settings), time.monotonic())
        self._inbox = Inbox()
        self._flush = threading.Event()  # asks the worker to settle what waits for a partner
        self._streams = CameraStreams(make_pairing(settings["pairing.policy"], pairing_policy(settings, rig_offset_ns)))
        self._worker: Worker[FusionJob] = Worker(
            self._fuse, self._pair, self._on_error, settings["queue_depth"], self._skipped
        )
        self.topics: dict[Camera, str] = {}
        """Image topics, resolved."""
        self._stamps = StampMonitor()
        self._stamp_sources = stamp_sources(settings)
        self._telemetry = Telemetry.of(settings)
        self._watch = OutputWatch(self.topics)
        self._codecs: dict[Camera, Codec] = {}
        self._told_loss: set[Camera] = set()
        self._sizes = {camera: SizeWatch() for camera in CAMERAS}
        self._image_bytes: dict[Camera, int] = dict.fromkeys(CAMERAS, 0)
        self._subscriptions: ImageSubscriptions | None = None
        self.on_camera_info: Callable[[Camera, CameraInfo], None] = lambda _camera, _message: None
        """Takes every camera_info that differs from the last one, besides."""
        self.registered = True
        """Whether thermal images can be put into visible ones; without, they are left out of the pairs."""
        self.misfit = ""
        """Why the rig does not fit the images of the latest pair, one sentence: the thermal one is left out then."""
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
        return self._streams.drops

    @property
    def pairs(self) -> int:
        """Pairs formed."""
        return self._streams.pairs

    @property
    def time_resets(self) -> int:
        """Backward jumps of stamps."""
        return self._streams.time_resets

    @property
    def held(self) -> int:
        """Images that wait for a partner or to be paired."""
        return len(self._inbox) + self._streams.pending

    @property
    def enabled(self) -> bool:
        """Whether images are taken."""
        return self._subscriptions is not None

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled and self._subscriptions is None:
            self.health = HealthMonitor(_limits(self._settings), time.monotonic(), self._statistics.shutter)
            self._subscriptions = self._open_intake()
        elif not enabled and self._subscriptions is not None:
            subscriptions, self._subscriptions = self._subscriptions, None
            subscriptions.stop()
            self._end_transforms()
            self._flush.set()
            self._worker.wake()

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Take over the parameters that are not read where they are used."""
        self._worker.depth = settings["queue_depth"]
        self.health.limits = _limits(settings)
        self._worker.wake()  # the policy of the pairing is compared there

    def replace_pipeline(self, pipeline: FusionPipeline) -> None:
        """Fuse with another pipeline from the next pair on; when this returns nothing uses the old one any more."""
        with self._fusing:
            self._pipeline = pipeline

    def replace_rig_offset(self, offset_ns: int) -> None:
        """Pair with another offset of the thermal stamps."""
        self._rig_offset_ns = offset_ns
        self.apply(self._settings)

    def graph_checks(self) -> GraphChecks:
        """What can be seen of the image topics, the DDS profile and the processor; since the last call."""
        cpu_wait = self._cpu_wait.share()
        video = None if self.video is None else self.video.counts
        if self._subscriptions is None:
            return GraphChecks(cpu_wait=cpu_wait, video=video)
        self._look_at_output()
        unstamped = self._watch.unstamped(time.monotonic())
        streams = {
            camera: replace(
                look_at_stream(self._node, topic, self._subscriptions.profile(topic), self._image_bytes[camera]),
                unstamped=camera in unstamped,
                size_changes=self._sizes[camera].changes,
            )
            for camera, topic in self.topics.items()
        }
        profile = dds_profile_fault(max(self._image_bytes.values()))
        return GraphChecks(streams, profile, cpu_wait, self._watch.sentence, video)

    def _look_at_output(self) -> None:
        """Warn, once, where images arrive and nothing goes out."""
        now_s = time.monotonic()
        counts, last_error = self._statistics.counts(self.pairing_drops)
        health, rig_offset_s = self.health.describe(now_s), self._rig_offset_ns / 1e9
        sentence = self._watch.look(counts, self._stamps, health, self._settings, rig_offset_s, last_error, now_s)
        if sentence:
            self._statistics.error(sentence)
            self._node.get_logger().warning(sentence)

    def close(self) -> None:
        """Take the subscriptions off the graph, then finish the pair in hand; raises nothing."""
        take_down((self._disable, self._worker.stop, self._close_watches, self._empty, self._settle), self._report)

    def _disable(self) -> None:
        self.enabled = False

    def _close_watches(self) -> None:
        watches = [watch for watch in (self.drift, self.explanations, self.video) if watch is not None]
        take_down([watch.close for watch in watches], self._report)

    def _empty(self) -> None:
        """Count the images that the worker, whose thread has ended, has not paired."""
        self._flush.set()
        for pair in self._ready():
            self._statistics.dropped("skipped", len(pair.images))

    def _settle(self) -> None:
        """Leave the counts of the pairing where they can be read when the session is gone."""
        self._statistics.pairing_ended(self.pairs, self.time_resets, self.pairing_drops)

    def _open_intake(self) -> ImageSubscriptions:
        subscriptions = ImageSubscriptions(self._node, self._report)
        try:
            for camera in CAMERAS:
                self._subscribe(subscriptions, camera)
            if self._settings["depth.source"] != "none":
                self._subscribe_to_depth(subscriptions)
        except BaseException:
            subscriptions.stop()
            self._end_transforms()
            raise
        return subscriptions

    def _end_transforms(self) -> None:
        forget, self._forget_transforms = self._forget_transforms, []
        take_down(forget, self._report)

    def _subscribe(self, subscriptions: ImageSubscriptions, camera: Camera) -> None:
        transport = image_transport(self._settings, camera)
        kind, topic = image_topic(camera, transport)
        self._codecs[camera] = codec_of(transport)
        self.topics[camera] = self._node.resolve_topic_name(topic)
        subscriptions.subscribe(kind, topic, partial(self._on_image, camera))
        subscriptions.subscribe(CameraInfo, f"{camera}/camera_info", self._camera_infos[camera])

    def _subscribe_to_depth(self, subscriptions: ImageSubscriptions) -> None:
        stamps = stamp_sources(self._settings)["visible"]
        if self._settings["depth.source"] == "points":
            transforms = Transforms()
            kind, topic = PointCloud2, "depth/points"
            self.depth = PointClouds(self._node.resolve_topic_name(topic), stamps, transforms, self._rectified)
            self._listen_to_transforms(transforms)
        else:
            transport = self._settings["depth.image_transport"]
            kind, topic = image_topic("depth", transport)
            self.depth = DepthImages(self._node.resolve_topic_name(topic), transport, stamps)
        subscriptions.subscribe(kind, topic, partial(self._on_depth, self.depth))

    def _listen_to_transforms(self, transforms: Transforms) -> None:
        def on_transforms(message: Any) -> None:
            transforms.add(message.transforms)

        try:
            subscribe_to_transforms(self._node, on_transforms, self._forget_transforms, "depth.source points")
        except ValueError as error:  # a cloud in the visible camera's own frame needs none
            self._node.get_logger().warning(str(error))

    def _on_depth(self, depth: DepthSource, wire: bytes) -> None:
        try:
            depth.take(wire, time.monotonic_ns(), self._node.get_clock().now().nanoseconds)
        except encodings.ImageError as error:
            self._report(f"{depth.topic}: {error}")
        except Exception as error:
            self._on_error(error)

    def _on_camera_info(self, camera: Camera, message: CameraInfo) -> None:
        self.on_camera_info(camera, message)

    def _on_image(self, camera: Camera, wire: bytes) -> None:
        now, ros_now = time.monotonic_ns(), self._node.get_clock().now().nanoseconds
        self._statistics.received(camera)
        try:
            self._image_bytes[camera] = len(wire)
            image = stamped_image(camera, wire, self._codecs[camera], now)
            stamp_ns = self._stamp_sources[camera].stamp(image.stamp_ns, ros_now)
            self._take(image if stamp_ns == image.stamp_ns else replace(image, stamp_ns=stamp_ns))
        except encodings.ImageError as error:
            self._statistics.dropped(f"invalid_{camera}")
            self._report_invalid(camera, error)
        except Exception as error:
            self._statistics.dropped("failed")
            self._on_error(error)

    def _take(self, image: StampedImage) -> None:
        camera, now = image.camera, image.arrival_ns
        if image.stamp_ns == 0:  # the watch tells it
            self._statistics.dropped(f"no_stamp_{camera}")
            return
        self._stamps.take(camera, image.stamp_ns, now)
        arrival = Arrival(image, self.health.arrived(camera, now / 1e9))
        gone = self._inbox.put(arrival, self._settings["pairing.queue_size"])
        if gone:
            self._statistics.dropped("skipped", gone)
        self._worker.wake()

    def _pair(self) -> int | None:
        """Pair what has arrived; on the worker's thread, before each wait."""
        for pair in self._ready():
            self._statistics.in_hand(len(pair.images))
            self._worker.submit(pair)
            if pair.visible is not None and pair.thermal is not None:
                self._statistics.paired(pair.skew_ns / 1e9)
        return self._streams.next_deadline_ns()

    def _ready(self) -> Iterator[FusionJob]:
        for image, route in self._inbox.take():
            try:
                yield from self._streams.take(image, route)
            except Exception as error:  # the images behind it have to be paired, and counted
                self._statistics.dropped("failed")
                self._on_error(error)
        now_ns = time.monotonic_ns()
        yield from self._streams.poll(now_ns)
        policy = pairing_policy(self._settings, self._rig_offset_ns)
        if policy != self._streams.pairing.policy:
            yield from self._streams.replace(make_pairing(self._settings["pairing.policy"], policy), now_ns)
        if self._flush.is_set():
            self._flush.clear()
            yield from self._streams.flush(now_ns)

    def _skipped(self, job: FusionJob) -> None:
        self._statistics.dropped("skipped", len(job.images), in_hand=True)

    def _fuse(self, job: FusionJob) -> None:
        account = _Account(self._statistics, len(job.images))
        try:
            with self._fusing:
                self._make_result(job, account)
        except Exception as error:
            self._on_error(error)
        finally:
            account.close()

    def _make_result(self, job: FusionJob, account: _Account) -> None:
        if job.time_resets != self._resets_seen:  # a bag looped: nothing of before may smooth what comes now
            self._resets_seen = job.time_resets
            self._pipeline.reset()
        start = time.monotonic_ns()
        visible = self._usable("visible", job.visible, account)
        thermal = self._usable("thermal", job.thermal, account)
        if visible is None and thermal is None:  # each of them has been counted
            return
        if visible is not None and thermal is not None and not self._is_registered(visible, thermal):
            account.dropped("unregistered")
            thermal = None
        pair = FramePair(visible, thermal, job.skew_ns if visible and thermal else 0, job.sync_wait_ns / 1e6)
        pair, depth_fault = self._with_depth(pair)
        decoded = time.monotonic_ns()
        result = self._pipeline.process(pair)
        if pair.visible is not None and pair.thermal is not None:
            self._tell_depth(depth_fault or result.depth_fault)
        fused = time.monotonic_ns()
        published = self._publishers.publish(
            result, self._camera_info(result.pair), self._pipeline.radiometry, self._settings, self._turn
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
            "total": (end - max(image.arrival_ns for image in job.images)) / 1e6,
        }
        age_s = (self._node.get_clock().now().nanoseconds - pair.reference.stamp_ns) / 1e9
        account.published(result, latency_ms, age_s)
        if self.video is not None:
            self.video.offer(to_header(result.pair.reference), result.fused)
        if self.drift is not None:
            self.drift.offer(result.pair)
        if self.explanations is not None:
            self.explanations.offer(result)

    def _is_registered(self, visible: Frame, thermal: Frame) -> bool:
        if not self.registered:
            return False
        self.misfit = self._pipeline.misfit(FramePair(visible, thermal))
        if self.misfit:
            self._report(self.misfit)
        return not self.misfit

    def _with_depth(self, pair: FramePair) -> tuple[FramePair, str]:
        """The pair with depth; or as it is, and why, where there should be some."""
        if self.depth is None or pair.visible is None or pair.thermal is None:
            return pair, ""
        try:
            return self.depth.added(pair, pair.visible, self._settings["depth.max_age"]), ""
        except ValueError as error:
            return pair, str(error)

    def _turn(self, pair: FramePair) -> Matrix:
        """From the frame that ``frame_id`` of the visible image names to that of the framed image, (3, 3)."""
        info = self._camera_info(pair)
        turn = self._pipeline.framings["visible"].turn
        return turn if info is None else rectification(info, is_rectified(self.topics["visible"])) @ turn

    def _rectified(self, visible: Frame) -> Matrix:
        """From the frame that ``frame_id`` of a visible image names to that of the image as received, (3, 3)."""
        framing = self._pipeline.framings["visible"]
        framed = replace(visible, image=framing(visible.image))
        return framing.turn.T @ self._turn(FramePair(framed, None))

    def _tell_depth(self, fault: str) -> None:
        """Say where the registration goes from each pixel's distance to the plane, and back."""
        if self.depth is None:
            return
        self.depth.fault = fault
        changes = self._depth_log.due(fault, time.monotonic())
        if not changes:
            return
        often = f" ({changes} changes since the last such line)" if changes > 1 else ""
        if fault:
            self._node.get_logger().warning(f"registered at the plane: {fault}{often}")
        else:
            self._node.get_logger().info(f"registered at the distances of {self.depth.topic}{self.depth.remark}{often}")

    def _camera_info(self, pair: FramePair) -> CameraInfo | None:
        """Of the camera that the result is drawn in."""
        camera: Camera = "thermal" if pair.visible is None else "visible"
        height, width = pair.reference.image.shape[:2]
        return self._camera_infos[camera].of(pair.reference.stamp_ns, (width, height))

    def _usable(self, camera: Camera, arrival: StampedImage | None, account: _Account) -> Frame | None:
        """The decoded frame, unless there is none, it is broken, or its stream is not fit to be used."""
        if arrival is None:
            return None
        try:
            frame = arrival.decode()
            self._tell_loss(arrival, frame)
            self._tell_size(camera, frame)
            image = self._pipeline.framings[camera](frame.image)  # telemetry is no picture, and never freezes
        except ValueError as error:
            account.dropped(f"invalid_{camera}")
            self._report_invalid(camera, error)
            return None
        closed = self._telemetry.shutter_closed(frame.image) if camera == "thermal" else None
        if not self.health.usable(camera, image, arrival.arrival_ns / 1e9, closed):
            account.dropped(f"unusable_{camera}")
            return None
        return frame

    def _tell_loss(self, arrival: StampedImage, frame: Frame) -> None:
        """Warn, once for each camera, where compressing has thrown bits away, or a palette the temperatures."""
        camera = arrival.camera
        if camera in self._told_loss:
            return
        sentence = lost_depth(getattr(arrival.message, "format", ""), frame.image)
        if camera == "thermal" and frame.image.ndim == 3:
            sentence = sentence or _THERMAL_COLOUR
        if sentence:
            self._told_loss.add(camera)
            self._node.get_logger().warning(f"{self.topics[camera]}: {sentence}")

    def _tell_size(self, camera: Camera, frame: Frame) -> None:
        """Warn, once for each camera, where its images change their size: another one may publish there."""
        sentence = self._sizes[camera].take((frame.image.shape[1], frame.image.shape[0]))
        if sentence:
            topic = self.topics[camera]
            publishers = self._node.count_publishers(topic)
            self._node.get_logger().warning(f"{topic}: {sentence}; it has {publishers} publishers, expected one")

    def _report_invalid(self, camera: Camera, error: ValueError) -> None:
        self._report(f"{self.topics[camera]}: {error}")

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
