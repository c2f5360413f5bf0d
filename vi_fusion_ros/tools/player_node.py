"""player_node: a pair of videos, two folders or a synthetic street, published as two cameras.

docs/player.md has the parameters. Images are made and encoded ahead of time by one thread a camera; the main thread
publishes each at its time against the monotonic clock, so nothing drifts. Stamps are the nominal capture times on the
ROS clock.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import String

from vi_fusion_ros.images.compressed import fill_compressed
from vi_fusion_ros.images.encodings import fill_image
from vi_fusion_ros.node import qos
from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.node.process import runner
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor
from vi_fusion_ros.sources.faults import FAULT_KINDS, FaultPlan, PlannedFault
from vi_fusion_ros.sources.streams import CameraTiming, ClipStreams, Shot, SyntheticStreams, frame_count, seen_aside
from vi_fusion_ros.sources.synthetic import COUNTS_PER_KELVIN
from vi_fusion_ros.tools.player_faults import CameraFaults
from vi_fusion_ros.types import Image

SOURCES = ("synthetic", "video", "folder")
VISIBLE_ENCODINGS = ("bgr8", "rgb8", "bgra8", "rgba8", "mono8")
THERMAL_ENCODINGS = ("mono8", "mono16", "8UC1", "16UC1", "32FC1")

# name: (default, low, high, description)
PARAMETERS: dict[str, tuple[Any, float | None, float | None, str]] = {
    "source": ("synthetic", None, None, "synthetic, video or folder"),
    "visible": ("", None, None, "path of the visible video or folder"),
    "thermal": ("", None, None, "path of the thermal video or folder"),
    "width": (640, 16, 8192, "width of the synthetic images, pixels"),
    "height": (480, 16, 8192, "height of the synthetic images, pixels"),
    "seed": (0, 0, 2**31 - 1, "of the synthetic scene, of jitter and of drops"),
    "thermal_bits": (8, 8, 16, "depth of the thermal images, 8 or 16 (counts of 0.01 K)"),
    "registered": (
        True,
        None,
        None,
        "false: the thermal camera looks aside and sees less, so that there is something to calibrate",
    ),
    "duration": (0.0, 0.0, 1e6, "seconds to play; 0: to the end of the source, or for ever"),
    "loop": (False, None, None, "start again at the end"),
    "restamp": (
        True,
        None,
        None,
        "stamps go on when the source starts again; false: they jump back as in a looped bag",
    ),
    "cameras": ("both", None, None, "both, visible or thermal: which ones this player is"),
    "faults": ("", None, None, "faults to inject, in turn: names with commas between them, or all (docs/player.md)"),
    "fault_length": (2.0, 0.1, 1e3, "mean length of a fault, and of the time between two, seconds"),
    "compressed": (False, None, None, "publish <image>/compressed instead of raw images"),
    "wait_for_subscribers": (True, None, None, "start when both image topics have a subscriber"),
    "exit_at_end": (True, None, None, "end the process after the last image; false: stay in the graph until a signal"),
    "report": ("", None, None, "path of a JSON file of what was published, written at the end"),
    **{
        f"{camera}.{name}": entry
        for camera in ("visible", "thermal")
        for name, entry in {
            "rate": (0.0, 0.0, 1000.0, "frames a second; 0: the source's own rate"),
            "offset": (0.0, -10.0, 10.0, "constant delay of the stamps, seconds"),
            "jitter": (0.0, 0.0, 1.0, "standard deviation of the stamps, seconds"),
            "drop": (0.0, 0.0, 1.0, "probability that a frame is lost"),
            "encoding": ("", None, None, "encoding of raw images; empty: bgr8, and mono8 or mono16"),
        }.items()
    },
}

_AHEAD = 6
_ACKNOWLEDGED_WITHIN_S = 5.0
_SETTLE_S = 0.5
_FOCAL_LENGTH = 0.9  # of the image width: a horizontal field of view of 58 degrees


@dataclass(frozen=True)
class _Prepared:
    """A shot and its message, which lacks the stamp; no message where the frame is lost or ``broken`` says why."""

    shot: Shot
    message: Any
    broken: ValueError | None = None


class _Camera:
    """One stream: prepares messages ahead, and publishes them.

    Args:
        node: the node that owns the publishers.
        name: visible or thermal.
        timing: when frames are taken.
        encoding: of raw images.
        compressed: publish compressed images.
    """

    def __init__(self, node: Node, name: str, timing: CameraTiming, encoding: str, compressed: bool) -> None:
        self.name, self.timing = name, timing
        self._encoding, self._compressed = encoding, compressed
        self._faults = CameraFaults(name, timing.seed)
        self.stamps: list[int] = []
        self.lost = self.broken = 0
        self._log = node.get_logger()
        kind, topic = (CompressedImage, f"{name}/image/compressed") if compressed else (ImageMessage, f"{name}/image")
        self.publisher = self._publisher(node, kind, topic)
        self._info_publisher = self._publisher(node, CameraInfo, f"{name}/camera_info")
        self._info: CameraInfo | None = None

    def prepared(self, images: Iterator[Image | ValueError], frames: int | None) -> Iterator[_Prepared]:
        """Messages in order of time, made ahead by a thread; ends with the images or after ``frames``.

        Raises:
            ValueError: an image does not fit the encoding.
        """
        ready: queue.Queue[_Prepared | Exception | None] = queue.Queue(_AHEAD)
        threading.Thread(target=self._prepare, args=(images, frames, ready), daemon=True).start()
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def publish(self, prepared: _Prepared, stamp: int, fault: PlannedFault | None = None) -> None:
        """Publish a prepared frame, as ``fault`` leaves it, or count it as lost or broken."""
        if prepared.broken is not None:
            self.broken += 1
            self._log.warning(f"{prepared.broken}; skipped")
            return
        if prepared.message is None:
            self.lost += 1
            return
        if self._compressed:  # without faults
            self._send(prepared.message, stamp)
            return
        self.lost += 1
        for message, faulty_stamp in self._faults.apply(prepared.message, stamp, fault):
            self.lost -= 1
            self._send(message, faulty_stamp)

    def finish(self) -> None:
        """Publish what a fault has kept back."""
        for message, stamp in self._faults.held():
            self.lost -= 1
            self._send(message, stamp)

    def _send(self, message: Any, stamp: int) -> None:
        header = message.header
        header.stamp = to_time(stamp)
        header.frame_id = f"{self.name}_optical_frame"
        self.publisher.publish(message)
        if self._info is not None:
            self._info.header = header
            self._info_publisher.publish(self._info)
        self.stamps.append(stamp)

    def acknowledged(self) -> bool:
        """Wait until every reliable subscriber has every image; false where one did not answer in time."""
        return bool(self.publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGED_WITHIN_S)))

    def _prepare(self, images: Iterator[Image | ValueError], frames: int | None, ready: queue.Queue[Any]) -> None:
        try:
            for image, shot in zip(images, self.timing.schedule(frames), strict=False):
                if isinstance(image, ValueError):
                    ready.put(_Prepared(shot, None, image))
                    continue
                self._info = self._info or _camera_info(image.shape[1], image.shape[0])
                ready.put(_Prepared(shot, None if shot.lost else self._encode(image)))
            ready.put(None)
        except Exception as error:  # told by the thread that publishes
            ready.put(error)

    def _encode(self, image: Image) -> Any:
        if self._compressed:
            return fill_compressed(CompressedImage(), image)
        return fill_image(ImageMessage(), *_encoded(image, self._encoding))

    @staticmethod
    def _publisher(node: Node, kind: Any, topic: str) -> Publisher:
        return node.create_publisher(kind, topic, QoSProfile(depth=10), qos_overriding_options=qos.overridable())


class PlayerNode(Node):
    """Publishes ``visible/image``, ``thermal/image``, their ``camera_info``, and ``ground_truth`` where it is known.

    Raises:
        ValueError: a parameter or a source cannot be used; one sentence.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("player_node", **kwargs)
        self._values = {name: self._declare(name, *entry) for name, entry in PARAMETERS.items()}
        self._streams = self._open()
        for note in self._streams.notes:
            self.get_logger().warning(note)
        compressed = self._values["compressed"]
        self.cameras = [
            _Camera(self, name, self._timing(name), self._encoding(name), compressed) for name in self._camera_names()
        ]
        self._plan = self._fault_plan()
        self._fault: PlannedFault | None = None
        self._faults_publisher = self.create_publisher(String, "~/faults", QoSProfile(depth=100))
        self._truth = self.create_publisher(String, "ground_truth", QoSProfile(depth=10))
        self._stop = threading.Event()

    def stop(self) -> None:
        """Have ``play`` return early; for signal handlers."""
        self._stop.set()

    def play(self) -> None:
        """Publish until the source ends, or for ever, or until ``stop``.

        Raises:
            ValueError: an image of the source does not fit the encoding.
        """
        if self._values["wait_for_subscribers"]:
            while not all(camera.publisher.get_subscription_count() for camera in self.cameras):
                if self._stop.wait(0.02):
                    return
            # The subscribers that this side has found may not have found it yet, and nothing tells when they have.
            if self._stop.wait(_SETTLE_S):
                return
        elapsed_s = 0.0
        merged = self._merged()
        first = list(itertools.islice(merged, 1))  # the clock starts when both cameras have something to show
        started_ns, clock_ns = time.monotonic_ns(), self.get_clock().now().nanoseconds
        while True:
            stamp_base_s = elapsed_s if self._values["restamp"] else 0.0
            for camera, prepared in itertools.chain(first, merged):
                due_ns = started_ns + round((elapsed_s + prepared.shot.time_s) * 1e9)
                if self._stop.wait(max(0.0, (due_ns - time.monotonic_ns()) / 1e9)):
                    return
                stamp = clock_ns + round((stamp_base_s + prepared.shot.time_s) * 1e9)
                fault = self._follow_plan(elapsed_s + prepared.shot.time_s)
                camera.publish(prepared, stamp, fault if fault and camera.name in fault.cameras else None)
                if camera.name == "visible" and prepared.message is not None:
                    self._publish_truth(prepared.shot, stamp)
            if not self._values["loop"] or self._streams.duration_s is None:
                return
            elapsed_s += self._streams.duration_s
            first, merged = [], self._merged()

    def linger(self) -> None:
        """Stay until ``stop`` where ``exit_at_end`` is false."""
        if not self._values["exit_at_end"]:
            self._stop.wait()

    def finish(self) -> None:
        """See to it that everything has arrived, and write the report.

        Raises:
            OSError: the report cannot be written.
        """
        for camera in self.cameras:
            camera.finish()
        arrived = all(camera.acknowledged() for camera in self.cameras)
        counts = {camera.name: len(camera.stamps) for camera in self.cameras}
        self._write_report(counts)
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        self.get_logger().info(f"played {text} images{'' if arrived else '; some were not acknowledged'}")

    def _merged(self) -> Iterator[tuple[_Camera, _Prepared]]:
        duration = self._streams.duration_s

        def entries(camera: _Camera) -> Iterator[tuple[float, str, _Camera, _Prepared]]:
            images = getattr(self._streams, camera.name)(camera.timing.rate_hz)
            if camera.name == "thermal" and not self._values["registered"]:
                images = map(seen_aside, images)
            for prepared in camera.prepared(images, frame_count(duration, camera.timing.rate_hz)):
                yield prepared.shot.time_s, camera.name, camera, prepared

        for _, _, camera, prepared in heapq.merge(*map(entries, self.cameras), key=lambda entry: entry[:2]):
            yield camera, prepared

    def _follow_plan(self, time_s: float) -> PlannedFault | None:
        """The fault at a time; published on ``~/faults`` when it begins and ends."""
        fault = None if self._plan is None else self._plan.at(time_s)
        if fault is not self._fault:
            self._fault = fault
            content = {"kind": fault.kind, "cameras": fault.cameras} if fault else {"kind": "", "cameras": []}
            self._faults_publisher.publish(String(data=json.dumps(content)))
        return fault

    def _publish_truth(self, shot: Shot, stamp: int) -> None:
        truth = self._streams.truth(shot.number / self.cameras[0].timing.rate_hz)
        if truth is not None:
            content = {
                "stamp_ns": stamp,
                "illumination": truth.illumination,
                "labels": sorted({item.label for item in truth.objects}),
                "objects": [{"label": item.label, "box": item.box} for item in truth.objects],
            }
            self._truth.publish(String(data=json.dumps(content)))

    def _write_report(self, counts: dict[str, int]) -> None:
        if not self._values["report"]:
            return
        path = Path(self._values["report"])
        content = {
            "source": self._values["source"],
            "frames": counts,
            "lost": {camera.name: camera.lost for camera in self.cameras},
            "broken": {camera.name: camera.broken for camera in self.cameras},
            "rate_hz": {camera.name: camera.timing.rate_hz for camera in self.cameras},
            "stamps_ns": {camera.name: camera.stamps for camera in self.cameras},
        }
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(content))
        part.replace(path)

    def _open(self) -> SyntheticStreams | ClipStreams:
        values = self._values
        if values["thermal_bits"] not in (8, 16):
            raise ValueError(f"thermal_bits is {values['thermal_bits']}; expected 8 or 16")
        if values["source"] not in SOURCES:
            raise ValueError(f"source is '{values['source']}'; expected {', '.join(SOURCES)}")
        duration = values["duration"] or None
        if values["source"] == "synthetic":
            return SyntheticStreams(values["width"], values["height"], values["seed"], values["thermal_bits"], duration)
        for name in ("visible", "thermal"):
            if not values[name]:
                raise ValueError(f"source {values['source']} needs the parameter {name}, a path")
        return ClipStreams(Path(values["visible"]), Path(values["thermal"]), values["thermal_bits"], duration)

    def _camera_names(self) -> tuple[str, ...]:
        cameras = self._values["cameras"]
        if cameras not in ("both", "visible", "thermal"):
            raise ValueError(f"cameras is '{cameras}'; expected both, visible or thermal")
        return ("visible", "thermal") if cameras == "both" else (cameras,)

    def _fault_plan(self) -> FaultPlan | None:
        names = self._values["faults"]
        if not names:
            return None
        if self._values["compressed"]:
            raise ValueError("faults are made in raw images; expected compressed to be false")
        kinds = FAULT_KINDS if names == "all" else [name.strip() for name in names.split(",")]
        return FaultPlan(kinds, self._values["seed"], self._values["fault_length"])

    def _timing(self, camera: str) -> CameraTiming:
        values = self._values
        return CameraTiming(
            values[f"{camera}.rate"] or self._streams.native_rate_hz,
            values[f"{camera}.offset"],
            values[f"{camera}.jitter"],
            values[f"{camera}.drop"],
            values["seed"] + (camera == "thermal"),
        )

    def _encoding(self, camera: str) -> str:
        encoding = str(self._values[f"{camera}.encoding"])
        known = VISIBLE_ENCODINGS if camera == "visible" else THERMAL_ENCODINGS
        if encoding and encoding not in known:
            raise ValueError(f"{camera}.encoding is '{encoding}'; expected {', '.join(known)}")
        return encoding

    def _declare(self, name: str, default: Any, low: float | None, high: float | None, description: str) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if isinstance(default, float):
            declaration.take_integer(self, name)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif low is not None:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        try:
            value = self.declare_parameter(name, default, descriptor).value
        except Exception as error:  # rclpy raises different classes for type and range, varying with the release
            raise ValueError(f"parameter {name}: {error}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"parameter {name} is {value}; expected a finite number")
        return value


def _encoded(image: Image, encoding: str) -> tuple[Image, str | None]:
    """The image in a ROS encoding, and that encoding; None leaves it to the dtype."""
    if not encoding:
        return image, None
    if image.ndim == 3:
        conversion = {
            "rgb8": cv2.COLOR_BGR2RGB, "bgra8": cv2.COLOR_BGR2BGRA, "rgba8": cv2.COLOR_BGR2RGBA,
            "mono8": cv2.COLOR_BGR2GRAY,
        }.get(encoding)  # fmt: skip
        return (image if conversion is None else np.asarray(cv2.cvtColor(image, conversion))), encoding
    if encoding == "32FC1":  # kelvin
        counts = image if image.dtype == np.uint16 else image.astype(np.uint16) * 100
        return counts.astype(np.float32) / np.float32(COUNTS_PER_KELVIN), encoding
    deep = encoding in ("mono16", "16UC1")
    if deep != (image.dtype == np.uint16):
        raise ValueError(f"thermal.encoding {encoding} does not fit thermal_bits {image.dtype.itemsize * 8}")
    return image, encoding


def _camera_info(width: int, height: int) -> CameraInfo:
    """A pinhole camera without distortion."""
    focal, cx, cy = _FOCAL_LENGTH * width, (width - 1) / 2, (height - 1) / 2
    return CameraInfo(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def main(args: list[str] | None = None) -> int:
    """Play; returns 2 after one sentence where a parameter or the source cannot be used."""
    entries = [(name, default, description) for name, (default, _, _, description) in PARAMETERS.items()]
    description = "Plays two videos, two folders or a synthetic street as a visible and a thermal camera."
    return runner.run("player_node", description, entries, args, PlayerNode, _play)


def _play(node: PlayerNode, stop: threading.Event) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: node.stop())
    if stop.is_set():
        return 0
    spinner = BackgroundExecutor(node)
    try:
        node.play()
        status = 0
    except ValueError as error:
        sys.stderr.write(f"player_node: {error}\n")
        status = 2
    node.finish()
    if status == 0:
        node.linger()
    spinner.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
