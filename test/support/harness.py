"""What the tests of nodes share: nodes as processes on a DDS domain of their own, and a probe that talks to them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domains import next_domain
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vi_fusion_ros.images.encodings import fill_image
from vi_fusion_ros.msg import FusedClassification, FusionStatus
from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor

DEADLINE_S = 30.0
PERIOD_NS = 1_000_000_000 // 30
START_NS = 1_700_000_000_000_000_000

# On a busy machine there may be pauses between the images that a test sends, which are often the same ones: no faults.
# One thread: those of ONNX Runtime wait for each other, which takes long where processors are scarce.
PATIENCE = {"single_camera_timeout": 10.0, "health.fault_time": 10.0, "threads": 1}


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until ``condition`` holds; fail, saying ``what`` was waited for, when the deadline is over."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        threading.Event().wait(0.005)


@contextlib.contextmanager
def lone_node(name: str) -> Iterator[Node]:
    """A node in this process, in a context and on a DDS domain of its own."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = rclpy.create_node(name, context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


class Process:
    """A process on a DDS domain.

    Args:
        command: program and arguments.
        domain: the DDS domain.
        environment: what is added to the environment; a variable that is empty is taken away.
    """

    def __init__(self, command: list[str], domain: int, environment: dict[str, str] | None = None) -> None:
        variables = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 (lives as long as the process)
        self.process = subprocess.Popen(
            command,
            env={name: value for name, value in variables.items() if value},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        """What the process has printed so far."""
        return Path(self._log.name).read_text()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Interrupt the process as Ctrl-C does and return its exit status."""
        if self.alive:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            sys.stdout.write(self.output)


class NodeProcess(Process):
    """A node of this package.

    Args:
        module: of the node, for example ``vi_fusion_ros.node.fusion_node``.
        domain: the DDS domain.
        parameters: overrides by name.
    """

    def __init__(self, module: str, domain: int, parameters: dict[str, object] | None = None) -> None:
        arguments = ["--ros-args"]
        patience = PATIENCE if module.endswith("fusion_node") else {}
        for name, value in {**patience, **(parameters or {})}.items():
            arguments += ["-p", f"{name}:={json.dumps(value)}"]
        super().__init__([sys.executable, "-m", module, *arguments], domain)


class Probe:
    """A node in the test's process: two cameras, and a listener of everything that the fusion node says."""

    def __init__(self, domain: int, *, compressed: bool = False, topics: dict[str, type] | None = None) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("probe", context=self._context)
        self.received: dict[str, list] = {}
        self._sent = itertools.count()
        reliable = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        self.cameras = {
            name: self.node.create_publisher(kind, f"{name}/image{suffix}", reliable) for name in ("visible", "thermal")
        }
        self.camera_info = {
            name: self.node.create_publisher(CameraInfo, f"{name}/camera_info", reliable)
            for name in ("visible", "thermal")
        }
        defaults = {"status": FusionStatus, "classification": FusedClassification, "fused": Image}
        for topic, message in {**defaults, **(topics or {})}.items():
            self.listen(f"fusion_node/{topic}", message, topic)
        self.listen("/diagnostics", DiagnosticArray, "diagnostics")
        self._spinner = BackgroundExecutor(self.node)

    def listen(self, topic: str, message: type, name: str) -> None:
        """Collect the messages of ``topic`` in ``received[name]``."""
        messages = self.received.setdefault(name, [])
        profile = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(message, topic, messages.append, profile)

    def camera_connected(self, name: str) -> bool:
        """Whether the fusion node subscribes to the camera."""
        return self.cameras[name].get_subscription_count() > 0

    def wait_active(self) -> None:
        """Wait until the fusion node takes images and its outputs are seen."""
        wait_until(
            lambda: (
                all(map(self.camera_connected, self.cameras))
                and self.status is not None
                and self.status.state == "active"
                and self.node.count_publishers("/fusion_node/fused") > 0
            ),
            "the fusion node to become active",
        )

    @property
    def status(self) -> FusionStatus | None:
        """The latest status."""
        return self.received["status"][-1] if self.received["status"] else None

    def drops(self) -> dict[str, int]:
        """Counts by drop reason in the latest status."""
        assert self.status is not None
        return dict(zip(self.status.drop_reasons, self.status.drop_counts, strict=True))

    def send(self, name: str, stamp_ns: int, image: np.ndarray | None = None, **fields: object) -> None:
        """Publish an image of camera ``name``; ``fields`` overwrite the message's, to make it a broken one.

        Without an image it is the scene, with one pixel, the first, that is never the same twice: no frozen stream.
        """
        if image is None:
            image = scene(name)
            image[0, 0] += next(self._sent) % 100
        message = fill_image(Image(), image)
        message.header.stamp = to_time(stamp_ns)
        message.header.frame_id = f"{name}_optical_frame"
        for field, value in fields.items():
            setattr(message, field, value)
        self.cameras[name].publish(message)

    def send_pair(self, stamp_ns: int, skew_ns: int = 0) -> None:
        """Publish a pair of good images."""
        self.send("visible", stamp_ns)
        self.send("thermal", stamp_ns + skew_ns)

    def wait_for_result(self, stamp_ns: int, deadline_s: float = DEADLINE_S) -> FusedClassification:
        """Wait for the classification with this visible (or lone thermal) stamp."""
        stamp = to_time(stamp_ns)

        def found() -> list[FusedClassification]:
            return [m for m in list(self.received["classification"]) if m.header.stamp == stamp]

        wait_until(found, f"a classification stamped {stamp_ns}", deadline_s)
        return found()[0]

    def send_until_result(self, send: Callable[[int], None], stamps: Iterator[int]) -> FusedClassification:
        """Call ``send`` with one stamp after the other until the fusion node answers one.

        A subscription that is counted need not hear yet: images sent before both sides have found each other are lost.
        """
        tries = 5
        for stamp_ns in itertools.islice(stamps, tries):
            send(stamp_ns)
            with contextlib.suppress(AssertionError):
                return self.wait_for_result(stamp_ns, DEADLINE_S / tries)
        raise AssertionError(f"no classification of any of {tries} pairs within {DEADLINE_S:g} s")

    def call(self, service_type: type, service: str, request: object) -> object:
        """Call a service of the fusion node and return its response."""
        client = self.node.create_client(service_type, f"fusion_node/{service}")
        assert client.wait_for_service(DEADLINE_S), f"no service {service}"
        future = client.call_async(request)
        wait_until(future.done, f"an answer from {service}")
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition: int) -> bool:
        """Ask for a lifecycle transition (``Transition.TRANSITION_*``) and return whether it succeeded."""
        return self.call(ChangeState, "change_state", ChangeState.Request(transition=Transition(id=transition))).success

    def state(self) -> str:
        """The lifecycle state's label."""
        return self.call(GetState, "get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value: object) -> tuple[bool, str]:
        """Set a parameter; whether it was taken, and why not."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, "set_parameters", request).results[0]
        return result.successful, result.reason

    def get_parameter(self, name: str) -> object:
        """The value of a parameter."""
        value = self.call(GetParameters, "get_parameters", GetParameters.Request(names=[name])).values[0]
        return Parameter.from_parameter_msg(rclpy.parameter.ParameterMsg(name=name, value=value)).value

    def close(self) -> None:
        """Leave the graph."""
        self._spinner.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


def scene(name: str, height: int = 96, width: int = 128) -> np.ndarray:
    """A small image of a camera: a gradient with a bright square, which is warm in the thermal one (16 bit)."""
    ramp = np.linspace(40, 120, width, dtype=np.uint8)
    grey = np.tile(ramp, (height, 1))
    grey[30:60, 40:60] = 230
    if name == "thermal":
        return 29000 + grey.astype(np.uint16) * 8
    return np.dstack([grey, grey, grey // 2 + 60])
