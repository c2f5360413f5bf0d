"""``vi-fusion soak``: the fusion node under faulty cameras for as long as asked, and what has to hold meanwhile.

Cameras (player_node with faults), node (faulty_node) and this observer are processes over DDS. The cameras' process is
interrupted and started again now and then. At the end the engine that serves fails some times, an activation fails at
each of its steps, and the node is terminated and killed under load and has to serve again.
"""

from __future__ import annotations

import json
import math
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vi_fusion_ros.msg import FusedClassification, FusionStatus
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.sources.faults import SHIFT_S
from vi_fusion_ros.tools.domains import own_domain, require_no_cameras
from vi_fusion_ros.tools.processes import NodeProcess, ProcessError
from vi_fusion_ros.tools.soak.faulty_node import INJECTED, PROMOTED
from vi_fusion_ros.tools.soak.soak_checks import (
    EngineState,
    Violations,
    Watch,
    activation_faults,
    balance,
    broken_captures,
    engine_faults,
    growth_mb_per_10k,
)
from vi_fusion_ros.types import Mode

FAULT_LENGTH_S = 3.0
_RESTART_CAMERAS_EVERY_S = 120.0
_START_WITHIN_S = 60.0
_ASK_AGAIN_S = 2.0  # for captures, where none was seen being written
_SETTLE_WITHIN_S = 15.0
_SERVE_WITHIN_S = 5.0
_CAPTURES = 3
_ENGINE_FAILURES = 5
_FOLLOWS_WITHIN_S = 1.0  # a status and the graph, of a transition
_RESULTS_REMEMBERED = 2000
_MEMORY_ROWS = 60
_COUNTERS = (
    "visible_received", "thermal_received", "pairs", "published", "published_both", "published_visible_only",
    "published_thermal_only", "time_resets", "errors",
)  # fmt: skip
# Nothing may be lost on the way in, or the account of the player and that of the node could not be compared.
_QOS = {
    f"qos_overrides./{camera}/image.subscription.{policy}": value
    for camera in ("visible", "thermal")
    for policy, value in (("reliability", "reliable"), ("depth", 200))
}


class _Observer(Node):
    """Listens to the node and to what the player injects."""

    def __init__(self, watch: Watch) -> None:
        super().__init__("soak")
        self._watch = watch
        self.status: FusionStatus | None = None
        self.newest_stamp_s = 0.0  # of the latest result
        self.stamps_s: deque[float] = deque(maxlen=_RESULTS_REMEMBERED)
        deep = QoSProfile(depth=200)
        self.create_subscription(FusionStatus, "fusion_node/status", self._on_status, deep)
        self.create_subscription(FusedClassification, "fusion_node/classification", self._on_output, deep)
        self.create_subscription(Image, "fusion_node/fused/image", lambda _: None, QoSProfile(depth=5), raw=True)
        self.create_subscription(String, "player_node/faults", self._on_fault, deep)
        self._capture: Any = self.create_client(Trigger, "fusion_node/capture")
        self._reload_engine: Any = self.create_client(Trigger, "fusion_node/reload_engine")
        self._threads: Any = self.create_client(Trigger, "fusion_node/threads")
        self._set_parameters: Any = self.create_client(SetParameters, "fusion_node/set_parameters")
        self._change_state: Any = self.create_client(ChangeState, "fusion_node/change_state")

    def capture(self) -> list[Any]:
        """Ask for some captures at once; futures of the answers."""
        return [self._capture.call_async(Trigger.Request()) for _ in range(_CAPTURES)]

    def reload_engine(self) -> Any:
        """Have the engine loaded again; a future of the answer."""
        return self._reload_engine.call_async(Trigger.Request())

    def threads(self) -> Any:
        """Ask for the names of the node's threads; a future of the answer."""
        return self._threads.call_async(Trigger.Request())

    def inject(self, fault: str) -> Any:
        """Set what fails inside the node, see faulty_node; a future of the answer."""
        parameter = Parameter("fault", value=fault).to_parameter_msg()
        return self._set_parameters.call_async(SetParameters.Request(parameters=[parameter]))

    def change_state(self, transition: int) -> Any:
        """Ask for a lifecycle transition; a future of the answer."""
        return self._change_state.call_async(ChangeState.Request(transition=Transition(id=transition)))

    @property
    def image_subscriptions(self) -> int:
        """How many subscriptions to images there are."""
        return sum(self.count_subscribers(f"{camera}/image") for camera in ("visible", "thermal"))

    def _on_fault(self, message: String) -> None:
        fault = json.loads(message.data)
        self._watch.fault(time.monotonic(), fault["kind"], fault["cameras"])

    def _on_output(self, message: FusedClassification) -> None:
        self.newest_stamp_s = stamp_ns(message.header.stamp) / 1e9
        self.stamps_s.append(self.newest_stamp_s)
        self._watch.output(time.monotonic(), time.time(), self.newest_stamp_s, Mode(message.mode))

    def _on_status(self, status: FusionStatus) -> None:
        self.status = status
        if status.state == "active":
            health = {"visible": status.visible_health, "thermal": status.thermal_health}
            self._watch.status(time.monotonic(), health, {name: getattr(status, name) for name in _COUNTERS})


class Soak:
    """One run.

    Args:
        minutes: of faults.
        size: width and height of both cameras, pixels.
        rate_hz: of both cameras.
        seed: of the faults.
        folder: for logs and reports.
        domain: the DDS domain.
    """

    def __init__(
        self, minutes: float, size: tuple[int, int], rate_hz: float, seed: int, folder: Path, domain: int
    ) -> None:
        self._domain = domain
        self._seconds, self._size, self._rate_hz = minutes * 60, size, rate_hz
        self._seed, self._folder = seed, folder
        self._captures = folder / "captures"
        self._signalled_while_writing = 0
        self._violations = Violations()
        self._watch = Watch(self._violations, rate_hz)
        self._sent: Counter[str] = Counter()
        self._players = 0
        self._memory: list[tuple[float, int, float]] = []  # monotonic time, results, resident MB
        self._next_sample_s = 0.0

    def run(self) -> dict[str, Any]:
        """Run, and say what was seen.

        Raises:
            ProcessError: a process did not start.
        """
        # Ctrl-C ends the command in one sentence.
        rclpy.init(domain_id=self._domain, signal_handler_options=SignalHandlerOptions.NO)
        self._observer, self._executor = _Observer(self._watch), SingleThreadedExecutor()
        self._executor.add_node(self._observer)
        self._node = self._start_node()
        self._player: NodeProcess | None = None
        try:
            self._wait(lambda: self._state() == "active", "the fusion node to become active", _START_WITHIN_S)
            require_no_cameras(self._observer, self._domain)
            self._run_faults()
            self._fail_engines()
            account = self._account()
            self._fail_activations()
            recovery = {name: self._recover_from(name) for name in ("SIGTERM", "SIGKILL")}
        finally:
            for child in (self._player, self._node):
                if child is not None:
                    child.stop()
            self._executor.shutdown()
            self._observer.destroy_node()
            rclpy.try_shutdown()
        return self._summary(account, recovery)

    # --- phases ---

    def _run_faults(self) -> None:
        runs = max(2, round(self._seconds / _RESTART_CAMERAS_EVERY_S))
        for _ in range(runs):
            self._start_cameras("all")
            self._spin_until(time.monotonic() + self._seconds / runs)
            self._stop_cameras()
        self._samples_with_faults = len(self._memory)

    def _fail_engines(self) -> None:
        """Let the engine that has taken over fail again and again while both cameras are well."""
        self._start_cameras("")
        for _ in range(_ENGINE_FAILURES):
            self._fail_engine()
        self._stop_cameras()

    def _account(self) -> dict[str, Any]:
        """Wait until every image that was sent has been received, and settle the account."""

        def everything_is_in() -> bool:
            status = self._status
            received = status.visible_received + status.thermal_received
            return received >= sum(self._sent.values()) and status.output_rate == 0

        try:
            self._wait(everything_is_in, "the node to take what was sent", _SETTLE_WITHIN_S)
        except ProcessError as error:
            self._violations.add("counters", str(error))
        status = self._status
        counters = {name: int(getattr(status, name)) for name in (*_COUNTERS, "pending")}
        drops = dict(zip(status.drop_reasons, map(int, status.drop_counts), strict=True))
        left = balance(counters, drops)
        received = {"visible": counters["visible_received"], "thermal": counters["thermal_received"]}
        if left or received != dict(self._sent):
            self._violations.add(
                "counters", f"{left} images ended nowhere; sent {dict(self._sent)}, received {received}"
            )
        return {"sent": dict(self._sent), "received": received, "unaccounted": left, **counters, "dropped": drops}

    def _fail_engine(self) -> None:
        """Let the engine fail that has taken over, judge what the node makes of it, and have it loaded again."""
        self._wait(lambda: self._status.engine.startswith(PROMOTED), "the second engine to take over", _SETTLE_WITHIN_S)
        before = self._engine_state()
        self._ask(self._observer.inject("engine"), "an answer to the parameter fault")
        try:
            self._wait(lambda: self._status.engine_state == "fallback", "the fall-back", _SETTLE_WITHIN_S)
        except ProcessError as error:
            self._violations.add("engine", str(error))
        for sentence in engine_faults(before, self._engine_state(), INJECTED):
            self._violations.add("engine", sentence)
        self._watch.faults["engine"] += 1
        self._ask(self._observer.inject(""), "an answer to the parameter fault")
        answer = self._ask(self._observer.reload_engine(), "an answer of ~/reload_engine")
        if not answer.success:
            self._violations.add("engine", f"it was not loaded again: {answer.message}")

    def _engine_state(self) -> EngineState:
        status = self._status
        failed = dict(zip(status.drop_reasons, status.drop_counts, strict=True)).get("failed", 0)
        return EngineState(status.engine_state, status.engine_reason, int(status.errors), int(failed))

    def _fail_activations(self) -> None:
        """Let the activation fail at each of its steps while cameras run, until it has no further step."""
        self._start_cameras("")
        self._watch.node_gone()  # its counters start again with each activation
        self._change(Transition.TRANSITION_DEACTIVATE)
        threads = self._thread_names()
        step = 1
        while True:
            self._ask(self._observer.inject(f"activation:{step}"), "an answer to the parameter fault")
            if self._change(Transition.TRANSITION_ACTIVATE):
                break
            self._judge_failed_activation(step, threads)
            step += 1
        self._ask(self._observer.inject(""), "an answer to the parameter fault")
        try:
            self._wait_for_output_after(time.time(), "a result after the activations that failed")
        except ProcessError as error:
            self._violations.add("activation", str(error))
        self._stop_cameras()

    def _judge_failed_activation(self, step: int, threads: list[str]) -> None:
        failed_s = time.time()
        # The graph and the status follow; what still came then would come for ever.
        self._spin_until(time.monotonic() + _FOLLOWS_WITHIN_S)
        results = sum(failed_s < stamp < failed_s + _FOLLOWS_WITHIN_S for stamp in self._observer.stamps_s)
        names = self._thread_names()
        for sentence in activation_faults(self._state(), (threads, names), self._observer.image_subscriptions, results):
            self._violations.add("activation", f"step {step}: {sentence}")
        self._watch.faults["activation"] += 1

    def _change(self, transition: int) -> bool:
        return bool(self._ask(self._observer.change_state(transition), "an answer of ~/change_state").success)

    def _thread_names(self) -> list[str]:
        return list(self._ask(self._observer.threads(), "an answer of ~/threads").message.split())

    def _ask(self, future: Any, what: str) -> Any:
        self._wait(future.done, what, _SETTLE_WITHIN_S)
        return future.result()

    def _recover_from(self, signal_name: str) -> float | None:
        """Signal the node while it works, start it again, and time how long it takes until it serves; seconds."""
        self._start_cameras("")
        self._ask(self._observer.capture()[0], "an answer of ~/capture")
        self._signalled_while_writing += self._wait_for_writing()
        self._node.process.send_signal(getattr(signal, signal_name))
        self._node.process.wait(_SETTLE_WITHIN_S)
        self._watch.node_gone()
        for sentence in broken_captures(self._captures):
            self._violations.add("files", f"{signal_name}: {sentence}")
        start = time.monotonic()
        self._node = self._start_node()
        try:
            self._wait_for_output_after(time.time(), "a result after the restart")
        except ProcessError as error:
            self._violations.add("restart", f"{signal_name}: {error}")
            return None
        seconds = time.monotonic() - start
        if seconds > _SERVE_WITHIN_S:
            self._violations.add("restart", f"{signal_name}: it took {seconds:.1f} s until the node served again")
        self._stop_cameras()
        return round(seconds, 2)

    # --- processes ---

    def _start_node(self) -> NodeProcess:
        log = self._folder / f"fusion_{time.monotonic_ns()}.log"
        return NodeProcess(
            "vi_fusion_ros.tools.soak.faulty_node",
            {"status_rate": 5.0, "capture.folder": str(self._captures), **_QOS},
            log,
            self._domain,
        )

    def _start_cameras(self, faults: str) -> None:
        self._players += 1
        parameters = {
            "width": self._size[0], "height": self._size[1], "visible.rate": self._rate_hz,
            "thermal.rate": self._rate_hz, "thermal_bits": 16, "faults": faults, "fault_length": FAULT_LENGTH_S,
            "seed": self._seed + self._players, "report": str(self._folder / "player.json"),
        }  # fmt: skip
        log = self._folder / "player.log"
        player = NodeProcess("vi_fusion_ros.tools.player_node", parameters, log, self._domain)
        self._player = player
        self._wait_for_output_after(time.time(), "results of the cameras")
        if self._players == 1:
            require_no_cameras(self._observer, self._domain, ours=1)
        self._watch.cameras_back(time.monotonic())

    def _stop_cameras(self) -> None:
        assert self._player is not None
        self._watch.cameras_gone()
        self._player.stop()
        self._player.require_alive()
        report = json.loads((self._folder / "player.json").read_text())
        self._sent.update(report["frames"])
        self._player = None

    def _wait_for_output_after(self, start_s: float, what: str) -> None:
        """Wait for a result of an image taken after ``start_s``: one of before may be on its way for a while."""

        def arrived() -> bool:
            return 0 <= self._observer.newest_stamp_s - start_s < SHIFT_S["clock_jump"] / 2

        self._wait(arrived, what, _START_WITHIN_S)

    def _wait_for_writing(self) -> bool:
        """Ask for captures, and return as soon as one is being written; whether one was.

        On a busy machine all of them may be written between two looks: then there is more to be asked for.
        """
        deadline = time.monotonic() + _SETTLE_WITHIN_S
        while time.monotonic() < deadline:
            self._observer.capture()
            ask_again = time.monotonic() + _ASK_AGAIN_S
            while time.monotonic() < ask_again:
                if any(self._captures.glob(".*.part")):
                    return True
                time.sleep(0.001)
        return False

    @property
    def _status(self) -> FusionStatus:
        assert self._observer.status is not None  # the node was waited for
        return self._observer.status

    def _state(self) -> str:
        return self._observer.status.state if self._observer.status else ""

    # --- time ---

    def _spin_until(self, end_s: float) -> None:
        while (left := end_s - time.monotonic()) > 0:
            self._step(min(left, 0.1))

    def _wait(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            self._step(0.1)
            if time.monotonic() > deadline:
                raise ProcessError(f"not within {within_s:.0f} s: {what}{self._last_error_of_node()}")

    def _last_error_of_node(self) -> str:
        errors = [line for line in self._node.log.read_text(errors="replace").splitlines() if "[ERROR]" in line]
        return f"; the node's last error: {errors[-1]}" if errors else ""

    def _step(self, seconds: float) -> None:
        self._executor.spin_once(timeout_sec=seconds)
        self._node.require_alive()
        if self._player is not None:
            self._player.require_alive()
        now = time.monotonic()
        if now >= self._next_sample_s and self._observer.status is not None and not self._node.done:
            self._next_sample_s = now + 1.0
            self._memory.append((now, int(self._observer.status.published), resident_mb(self._node.process.pid)))

    def _summary(self, account: dict[str, Any], recovery: dict[str, float | None]) -> dict[str, Any]:
        memory = self._memory_of_first_node()
        return {
            "size": f"{self._size[0]}x{self._size[1]}",
            "rate_hz": self._rate_hz,
            "minutes": round(self._seconds / 60, 2),
            "seed": self._seed,
            "faults": dict(sorted(self._watch.faults.items())),
            "camera_restarts": self._players - 1,
            **account,
            "judged": dict(self._watch.judged),
            "longest_pause_s": round(self._watch.longest_pause_s, 3),
            "memory": memory,
            "serves_again_after_s": recovery,
            "signalled_while_writing": self._signalled_while_writing,
            "captures_written": len(list(self._captures.glob("capture_*"))),
            "violations": dict(self._violations.counts),
            "violations_told": self._violations.told,
            "passed": not self._violations.counts,
        }

    def _memory_of_first_node(self) -> dict[str, Any]:
        """Resident memory while the faults lasted; the first fifth is warm-up."""
        rows = self._memory[: self._samples_with_faults]
        warm = rows[len(rows) // 5 :]
        growth = growth_mb_per_10k([row[1] for row in warm], [row[2] for row in warm])
        if growth is not None and self._seconds >= 600 and growth >= 1:
            self._violations.add("memory", f"resident memory grew by {growth:.2f} MB per 10,000 results")
        return {
            "resident_mb_after_warm_up": round(warm[0][2], 1) if warm else None,
            "resident_mb_at_the_end": round(warm[-1][2], 1) if warm else None,
            "growth_mb_per_10k_results": None if growth is None else round(growth, 3),
            "results_and_resident_mb": [
                [row[1], round(row[2], 1)] for row in rows[:: math.ceil(len(rows) / _MEMORY_ROWS) or 1]
            ],
        }


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def soak(minutes: float, size: tuple[int, int], rate_hz: float, seed: int) -> dict[str, Any]:
    """Run a soak; see ``Soak``.

    Raises:
        ProcessError: a process did not start, or somebody else publishes its topics.
    """
    with tempfile.TemporaryDirectory() as folder, own_domain() as domain:
        return Soak(minutes, size, rate_hz, seed, Path(folder), domain).run()
