"""evaluation_node: what ``vi-fusion evaluate bag`` says, live from topics, for example during ``ros2 bag play``.

It takes the parameters of the fusion node that shape pairing, engine and pipeline, and fuses every pair of the two
image topics as that node would, also where it falls behind. So it says what a bag of these topics would give; what a
running fusion_node skips or leaves out is in that node's ``~/status``. docs/evaluation.md has parameters, topics, keys.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vi_fusion_ros.evaluation.fusion.evaluation import FusionEvaluation
from vi_fusion_ros.evaluation.output import json_text, write_json
from vi_fusion_ros.evaluation.streams.stream_evaluation import (
    StreamEvaluator,
    fusion_of,
    fusion_so_far,
    measure_one,
    percentiles,
    summary,
)
from vi_fusion_ros.node import messages, qos, video_messages
from vi_fusion_ros.node.fusion_node import engine_of
from vi_fusion_ros.node.geometry import live_rig
from vi_fusion_ros.node.geometry.camera_info import CameraInfos
from vi_fusion_ros.node.geometry.live_rig import LiveRig
from vi_fusion_ros.node.pairing_policies import make_pairing, pairing_policy
from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.node.parameters.schema import schema
from vi_fusion_ros.node.process import runner
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor
from vi_fusion_ros.node.subscriptions import codec_of, image_topic, image_transport
from vi_fusion_ros.pipeline import SETTINGS, FusionPipeline, build_pipeline
from vi_fusion_ros.registration import RegistrationManager, Rig
from vi_fusion_ros.sync.pair_stream import MessagePair, PairStream, StreamProblem, decoded
from vi_fusion_ros.sync.stamp_source import stamp_sources
from vi_fusion_ros.sync.stamps import StampClock
from vi_fusion_ros.types import CAMERAS, Camera

DESCRIPTION = (
    "Measures what a fusion node does with the images of two topics; says it when it is asked, and at the end."
)
PARAMETERS: dict[str, tuple[Any, str]] = {
    "json": ("", "file for the result, written at the end and at each call of ~/evaluate; empty: none"),
    "backlog": (200, "pairs that may wait to be fused; beyond it the newest is skipped, and the result is partial"),
}
OF_FUSION_NODE = (
    *SETTINGS, "model", "fusion.method", "threads", "backend", "engine.precision", "engine.cache_dir", "engine.build",
    "engine.build_timeout", "rig", "plane_distance", "visible.compressed", "thermal.compressed",
    "visible.image_transport", "thermal.image_transport", "visible.stamp_source", "thermal.stamp_source",
    "visible.time_offset", "thermal.time_offset",
    "pairing.policy", "pairing.max_skew", "pairing.max_wait", "pairing.queue_size",
)  # fmt: skip
"""The parameters of the fusion node that say what it makes of a pair, and of which images it makes one."""

_STATISTICS_PERIOD_S = 1.0
_QUEUE_SIZE = 100  # of one camera, at least; what has piled up in DDS comes by turns, whatever the rates
_MOST_ROWS = 20_000  # 11 minutes at 30 Hz; then every second, fourth, ... pair is kept
_END = None


class EvaluationNode(Node):
    """Subscribes to ``visible/image`` and ``thermal/image``; says ``~/statistics`` and, when asked, ``~/evaluate``.

    Raises:
        ValueError: a parameter, the model or the rig file cannot be used; one sentence.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("evaluation_node", **kwargs)
        values = declaration.declare(self, OF_FUSION_NODE, strict=True)
        values |= {name: self._declare(name, *entry) for name, entry in PARAMETERS.items()}
        self._json = Path(values["json"]) if values["json"] else None
        self._stamp_sources = stamp_sources(values)
        self._transports: dict[Camera, str] = {camera: image_transport(values, camera) for camera in CAMERAS}
        for camera, transport in self._transports.items():
            if transport in video_messages.TYPES:
                raise ValueError(
                    f"{camera}.image_transport is {transport}; evaluation_node takes no video: record a bag, and "
                    "measure it with vi-fusion evaluate bag"
                )
        rig = _rig(values["rig"], values["plane_distance"])
        self._rig_source = rig.source
        registrations = RegistrationManager(rig)
        # What is there is used as the node would use it; two processes must not build one engine.
        log = self.get_logger()
        self._engine = engine_of({**values, "engine.build": False}, log.info, log.warning, log.error)
        pipeline = build_pipeline(self._engine, registrations, values)
        policy = pairing_policy(values, rig.time_offset_ns)
        policy = replace(policy, queue_size=max(policy.queue_size, _QUEUE_SIZE))
        # Where both are needed, the one of the evaluation comes first.
        self._evaluation_lock, self._pairing_lock = threading.Lock(), threading.Lock()
        self._pair_stream = PairStream(make_pairing(values["pairing.policy"], policy))
        # By the wall clock, a busy machine would pair differently.
        self._clock_of_stamps = StampClock()
        self._evaluator = StreamEvaluator(pipeline, self._engine.manifest.labels, False, _MOST_ROWS)
        self._ages_ms: deque[float] = deque(maxlen=_MOST_ROWS)
        self._first_arrival_s: float | None = None
        self._pairs: queue.Queue[MessagePair | None] = queue.Queue(max(values["backlog"], 1))
        self._worker = threading.Thread(target=self._work, name="evaluation_worker")
        self._topics: dict[Camera, str] = {}
        self._image_subscriptions: dict[Camera, Subscription] = {}
        for camera in CAMERAS:
            self._subscribe(camera, ReliabilityPolicy.RELIABLE)
        # Pairs wait until there is a rig to fuse them with.
        self._live_rig: LiveRig | None = None
        self._registered, self._rig_settled = rig.source != live_rig.SOURCE, threading.Event()
        if self._registered:
            self._rig_settled.set()
        else:
            self._follow_topics(pipeline, registrations, values["plane_distance"] or live_rig.DEFAULT_PLANE_M)
        self._worker.start()
        self._statistics = self.create_publisher(String, "~/statistics", qos.copy_of(qos.OUT))
        self.create_service(Trigger, "~/evaluate", self._on_evaluate)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(_STATISTICS_PERIOD_S, self._publish_statistics, clock=steady)

    def finish(self) -> dict[str, Any] | None:
        """Fuse what waits and write the result; None where there was no pair. The node takes no image any more."""
        if self._live_rig is not None:
            self._live_rig.close()
        self._rig_settled.set()  # or there will be none
        with self._pairing_lock:
            left = self._pair_stream.flush(self._clock_of_stamps.now_ns)
        for pair in left:
            self._pairs.put(pair)
        self._pairs.put(_END)
        self._worker.join()
        if not self._evaluator.evaluation.stamps_ns:
            return None
        fusion_of(self._evaluator.evaluation, 1)
        return self._result()

    def why_nothing(self) -> str:
        """Why there is no result, one sentence."""
        if not self._registered:
            return self._no_rig()
        return self._pair_stream.why_nothing(None)

    def _follow_topics(self, pipeline: FusionPipeline, registrations: RegistrationManager, plane_m: float) -> None:
        """Make the rig of CameraInfo and TF, as the fusion node does."""

        def on_applied(_: Rig) -> None:
            self._registered = True
            self._rig_settled.set()

        def on_error(error: Exception) -> None:
            self.get_logger().error(f"registration from {live_rig.SOURCE}: {error}")

        self._live_rig = LiveRig(self, self._topics, plane_m, registrations, on_applied, on_error, pipeline.framings)
        for camera in CAMERAS:
            self.create_subscription(
                CameraInfo,
                f"{camera}/camera_info",
                CameraInfos(partial(self._live_rig.on_camera_info, camera), pipeline.framings[camera]),
                qos.copy_of(qos.IMAGE_IN),
                raw=True,
            )

    def _no_rig(self) -> str:
        fault = self._live_rig.fault if self._live_rig is not None else ""
        return f"no rig of {live_rig.SOURCE}: {fault or 'waiting for camera_info and TF'}"

    def _declare(self, name: str, default: Any, description: str) -> Any:
        try:
            return self.declare_parameter(name, default, ParameterDescriptor(description=description)).value
        except Exception as error:  # rclpy raises different classes, varying with the release
            raise ValueError(f"parameter {name}: {error}") from error

    def _subscribe(self, camera: Camera, reliability: ReliabilityPolicy) -> None:
        kind, topic = image_topic(camera, self._transports[camera])
        self._topics[camera] = self.resolve_topic_name(topic)

        def on_incompatible(sentence: str) -> None:
            if reliability == ReliabilityPolicy.RELIABLE:
                self.get_logger().info(f"{self._topics[camera]}: its publisher is best effort, and so are we now")
                self.destroy_subscription(self._image_subscriptions[camera])
                self._subscribe(camera, ReliabilityPolicy.BEST_EFFORT)
            else:
                self.get_logger().error(sentence)

        self._image_subscriptions[camera] = self.create_subscription(
            kind,
            topic,
            lambda message: self._on_image(camera, message),
            QoSProfile(depth=100, reliability=reliability),
            event_callbacks=qos.on_incompatible_subscription(on_incompatible, self._topics[camera]),
        )

    def _on_image(self, camera: Camera, message: Any) -> None:
        codec = codec_of(self._transports[camera])
        if self._first_arrival_s is None:
            self._first_arrival_s = time.perf_counter()
        arrival_ns = self.get_clock().now().nanoseconds
        stamp_ns = self._stamp_sources[camera].stamp(messages.stamp_ns(message.header.stamp), arrival_ns)
        with self._pairing_lock:
            outcome = self._pair_stream.add(
                camera, self._topics[camera], lambda: message, codec, self._clock_of_stamps, stamp_ns=stamp_ns
            )
        if isinstance(outcome, StreamProblem):
            self._note(outcome)
            return
        for pair in outcome:
            try:
                self._pairs.put_nowait(pair)
            except queue.Full:
                stamp = pair.visible.stamp_ns
                self._note(StreamProblem("skipped", f"pair of stamp {stamp}: skipped, the backlog of pairs is full"))

    def _note(self, problem: StreamProblem) -> None:
        with self._pairing_lock:
            self._pair_stream.note(problem)
        self.get_logger().warning(problem.sentence, throttle_duration_sec=5.0)

    def _work(self) -> None:
        """Fuse the pairs; while none waits, measure the fusion of the samples, so that the end comes quickly."""
        evaluation = self._evaluator.evaluation
        while True:
            try:
                pair = self._pairs.get_nowait()
            except queue.Empty:
                with self._evaluation_lock:
                    busy = measure_one(evaluation)
                if busy:
                    continue
                pair = self._pairs.get()
            if pair is _END:
                return
            self._rig_settled.wait()
            if self._registered:
                self._fuse(pair)
            else:
                self._note(StreamProblem("failed", f"pair of stamp {pair.visible.stamp_ns}: {self._no_rig()}"))

    def _fuse(self, pair: MessagePair) -> None:
        images = decoded(pair)
        if isinstance(images, StreamProblem):
            self._note(images)
            return
        stamp_ns = images.pair.reference.stamp_ns
        with self._evaluation_lock:
            try:
                self._evaluator.take(images)
            except ValueError as error:
                self._note(StreamProblem("failed", f"pair of stamp {stamp_ns}: {error}"))
                return
            assert self._first_arrival_s is not None  # it came with an image
            self._evaluator.evaluation.wall_s = time.perf_counter() - self._first_arrival_s
            now_ns = self.get_clock().now().nanoseconds
            if now_ns:  # simulated time is 0 until the first /clock
                self._ages_ms.append((now_ns - stamp_ns) / 1e6)

    def _result(self) -> dict[str, Any]:
        """The result so far, written where it shall be; the evaluation's lock is held, or the worker has ended."""
        manifest = self._engine.manifest
        result = {
            "topics": dict(self._topics),
            "rig": self._rig_source,
            **self._summary(fusion_so_far(self._evaluator.evaluation)),
            "model": {"model_id": manifest.model_id, "onnx_sha256": manifest.onnx_sha256},
        }
        if self._json is not None:
            write_json(self._json, result)
        return result

    def _summary(self, fusion: FusionEvaluation | None) -> dict[str, Any]:
        with self._pairing_lock:
            result = summary(self._pair_stream, self._evaluator.evaluation, fusion)
        if self._ages_ms:  # none before the first /clock
            result["timings"]["age_ms"] = percentiles(list(self._ages_ms))
        return result

    def _on_evaluate(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._evaluation_lock:
            if not self._evaluator.evaluation.stamps_ns:
                response.success, response.message = False, self.why_nothing()
                return response
            try:
                result = self._result()
            except OSError as error:
                response.success, response.message = False, f"the result cannot be written: {error}"
                return response
        response.success, response.message = True, json_text(_short(result))
        return response

    def _publish_statistics(self) -> None:
        with self._evaluation_lock:
            if not self._evaluator.evaluation.stamps_ns:
                return
            result = self._summary(None)
        result["waiting"] = self._pairs.qsize()
        self._statistics.publish(String(data=json_text(_short(result))))


def _short(result: dict[str, Any]) -> dict[str, Any]:
    """Without what grows with the stream."""
    fusion = {key: value for key, value in result["fusion"].items() if key not in ("frames", "per_frame")}
    return {**{key: value for key, value in result.items() if key != "timeline"}, "fusion": fusion}


def _rig(path: str, plane_m: float) -> Rig:
    if path == live_rig.SOURCE:
        return replace(Rig.identity(), source=path)  # until there is one
    if not path:
        return Rig.identity()
    return Rig.load(path).at(plane_m) if plane_m else Rig.load(path)


def main(args: list[str] | None = None) -> int:
    """Evaluate until interrupted; returns 2 after one sentence where there is nothing to evaluate."""
    entries = [(name, default, description) for name, (default, description) in PARAMETERS.items()]
    # It is given the fusion node's parameters, to measure what that node does; some of them have no meaning here.
    entries += [(name, rule["default"], rule["description"]) for name, rule in schema().items()]
    return runner.run("evaluation_node", DESCRIPTION, entries, args, EvaluationNode, _evaluate)


def _evaluate(node: EvaluationNode, stop: threading.Event) -> int:
    spinner = BackgroundExecutor(node)
    stop.wait()
    spinner.stop()
    return _close(node)


def _close(node: EvaluationNode) -> int:
    try:
        result = node.finish()
    except OSError as error:
        sys.stderr.write(f"evaluation_node: the result cannot be written: {error}\n")
        return 2
    if result is None:
        sys.stderr.write(f"evaluation_node: {node.why_nothing()}\n")
        return 2
    pairing = result["pairing"]
    print(
        f"{result['n']} pairs of {pairing['visible_received']} visible and {pairing['thermal_received']} thermal images"
        + (f", partial: {result['problems'][0]}" if result["partial"] else ""),
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
