"""The fusion node with faults inside it, on command: what the soak and the tests run to see that it gives way to none.

The parameter ``fault`` names a point of ``POINTS``, which then raises every time; ``POINT:N`` raises the Nth time only;
``hold POINT`` raises nothing and waits there; an empty one ends it. ``~/threads`` answers with the threads' names.
The engine is ONNX Runtime, and a second one of the same model takes over from it as one of TensorRT would.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, ManagedEntity, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from vi_fusion_ros.engines.compile.build_process import BuildProcess
from vi_fusion_ros.engines.engine import Engine, EngineOutput, Plane
from vi_fusion_ros.engines.engine_cache import Found
from vi_fusion_ros.engines.hot_swap import HotSwapEngine
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.node import capture, fusion_node, session
from vi_fusion_ros.node.fusion_node import FusionNode
from vi_fusion_ros.node.geometry.drift_watch import DriftWatch
from vi_fusion_ros.node.status.statistics import Statistics
from vi_fusion_ros.node.worker import Worker
from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.sync.health import HealthMonitor
from vi_fusion_ros.sync.stamped_image import StampedImage

PROMOTED = "second "
"""How the description of the engine begins that takes over and can fail."""

INJECTED = "a fault was injected"
"""How the text of every error begins that is raised here."""

POINTS: dict[str, list[tuple[Any, str]]] = {
    "activation": [
        (session, "make_pairing"), (FusionNode, "create_subscription"), (Worker, "start"),
        (session, "ThreadCpuWait"), (FusionPipeline, "reset"),
    ],
    "arrived": [(HealthMonitor, "arrived")],
    "capture": [(capture, "write_capture")],
    "decode": [(StampedImage, "decode")],
    "latency": [(Statistics, "published")],
    "load": [(OnnxRuntimeEngine, "__init__")],
    "process": [(FusionPipeline, "process")],
    "read": [(session, "stamped_image")],
    "usable": [(HealthMonitor, "usable")],
}  # fmt: skip
"""What raises instead of doing its work, by the name of the point. Besides, there are ``engine``, ``publisher``,
``close`` and ``deactivation``."""

_AFTERWARDS: dict[str, list[tuple[Any, str]]] = {
    "close": [(OnnxRuntimeEngine, "close")],
    "deactivation": [(FusionNode, "destroy_subscription"), (DriftWatch, "close"), (Worker, "stop")],
}
"""What does its work and raises then."""


class InjectedError(Exception):
    """No kind that anybody expects."""


class Faults:
    """Which point raises at present. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._fault, self._point, self._at = "", "", 0
        self._calls: Counter[str] = Counter()

    def set(self, fault: str) -> None:
        """Change to another fault; see the parameter.

        Raises:
            ValueError: the N of ``POINT:N`` is no number.
        """
        point, _, at = fault.partition(":")
        with self._changed:
            self._fault, self._point, self._at = fault, point, int(at or 0)
            self._calls.clear()
            self._changed.notify_all()

    def pass_by(self, point: str) -> None:
        """Raise or wait, if it is this point's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._fault != f"hold {point}")
            self._calls[point] += 1
            if point == self._point and self._at in (0, self._calls[point]):
                raise InjectedError(f"{INJECTED}: {point}")


def wire(faults: Faults) -> None:
    """Put the faults into this process's modules and classes."""
    for point, places in POINTS.items():
        for owner, name in places:
            setattr(owner, name, _raising(getattr(owner, name), point, faults, afterwards=False))
    for point, places in _AFTERWARDS.items():
        for owner, name in places:
            setattr(owner, name, _raising(getattr(owner, name), point, faults, afterwards=True))


def _raising(work: Callable[..., Any], point: str, faults: Faults, *, afterwards: bool) -> Callable[..., Any]:
    @functools.wraps(work)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not afterwards:
            faults.pass_by(point)
        answer = work(*args, **kwargs)
        if afterwards:
            faults.pass_by(point)
        return answer

    return call


class FaultyNode(FusionNode):
    """See the module.

    Args:
        faults: are told of the parameter.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        super().__init__()
        self.declare_parameter("fault", "")
        self.add_on_set_parameters_callback(self._on_fault)
        self.create_service(Trigger, "~/threads", self._on_threads)
        self.add_managed_entity(_Managed(faults))

    def create_publisher(self, msg_type: Any, topic: str, *args: Any, **kwargs: Any) -> Any:
        """A publisher that can fail; not that of the node's status."""
        publisher: Any = super().create_publisher(msg_type, topic, *args, **kwargs)
        if topic.startswith("~/") and topic != "~/status":
            publisher.publish = _raising(publisher.publish, "publisher", self._faults, afterwards=False)
        return publisher

    def _load_engine(self) -> Engine:
        first, threads = super()._load_engine(), self._settings["threads"]
        supplier = _Supplier(Path(self._settings["model"] or default_model()), threads, self._faults)
        return HotSwapEngine(
            first, lambda _size: supplier, self.get_logger().info, "faults are injected", self.count_error
        )

    def _on_fault(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "fault":
                self._faults.set(parameter.value)
        return SetParametersResult(successful=True)

    def _on_threads(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, " ".join(sorted(thread.name for thread in threading.enumerate()))
        return response


class _Managed(ManagedEntity):  # type: ignore[misc]  # rclpy is not typed
    """The last step of a transition: whatever a user's own node has beside ours."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        self._faults.pass_by("activation")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        self._faults.pass_by("deactivation")
        return TransitionCallbackReturn.SUCCESS


class _Second(OnnxRuntimeEngine):
    """ONNX Runtime that fails when it is told to, once it has been loaded."""

    def __init__(self, model: Path, threads: int, faults: Faults) -> None:
        self._faults: Faults | None = None
        super().__init__(model, threads)
        self._faults = faults
        self.description = PROMOTED + self.description

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        if self._faults is not None:
            self._faults.pass_by("engine")
        return super().infer(visible, thermal)


class _Supplier:
    """See ``Supplier``."""

    name = "a second engine"

    def __init__(self, model: Path, threads: int, faults: Faults) -> None:
        self._model, self._threads, self._faults = model, threads, faults

    def find(self) -> Found:
        return Found(self._model)

    def build(self) -> BuildProcess | None:
        return None

    def load(self, path: Path | None) -> Engine:
        assert path is not None
        return _Second(path, self._threads, self._faults)


def main() -> int:
    """Run the node until it is interrupted; returns the exit status."""
    faults = Faults()
    wire(faults)
    return fusion_node.main(make=lambda: FaultyNode(faults))


if __name__ == "__main__":
    sys.exit(main())
