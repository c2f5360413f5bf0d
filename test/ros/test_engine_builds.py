"""A better engine is built while the node fuses: nothing is dropped, everything stays callable."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticStatus
from harness import PERIOD_NS, START_NS, Probe, Process, next_domain, wait_until
from lifecycle_msgs.msg import Transition

pytestmark = pytest.mark.ros

STEADY = {"single_camera_timeout": 0.0, "health.fault_time": 0.0}
"""No pause of this test and no image that is sent again makes the node leave out a camera."""

NODE = Path(__file__).parents[1] / "support" / "fusion_node_with_copier.py"


class Stream:
    """Pairs, each sent when the one before has come back."""

    def __init__(self, probe):
        self._probe = probe
        self.sent = 0

    def pair(self):
        stamp = START_NS + self.sent * PERIOD_NS
        self._probe.send_pair(stamp)
        self._probe.wait_for_result(stamp)
        self.sent += 1

    def until(self, condition, what):
        def sent_and_done():
            self.pair()
            return condition()

        wait_until(sent_and_done, what)


@pytest.fixture
def start(tmp_path, model):
    started = []

    def _start(builder, **parameters):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        arguments = [str(tmp_path), builder, "--ros-args"]
        for name, value in {"model": str(model), "status_rate": 20.0, "threads": 2, **STEADY, **parameters}.items():
            arguments += ["-p", f"{name}:={json.dumps(value)}"]
        node = Process([sys.executable, str(NODE), *arguments], domain)
        started.append(node.stop)
        probe.wait_active()
        return node, probe, Stream(probe)

    yield _start
    for stop in reversed(started):
        stop()


def engine_diagnostic(probe):
    return next(s for s in reversed(probe.received["diagnostics"][-1].status) if s.name.endswith(": engine"))


def test_the_change_to_a_built_engine_drops_no_frame(start, tmp_path):
    node, probe, stream = start("COPY")
    stream.until(lambda: probe.status.engine_state == "building" and "step" in probe.status.engine_reason, "a build")
    assert "building a copied engine for " in probe.status.engine_reason
    assert "2 threads" in probe.status.engine
    assert engine_diagnostic(probe).level == DiagnosticStatus.OK
    assert engine_diagnostic(probe).message.startswith("building a copied engine")
    assert probe.state() == "active"
    assert probe.set_parameter("queue_depth", 3) == (True, "")

    (tmp_path / "go").touch()
    stream.until(lambda: "1 thread" in probe.status.engine, "the new engine to serve")
    for _ in range(10):
        stream.pair()
    wait_until(lambda: probe.status.published == stream.sent, "every pair to be counted")
    assert probe.status.engine_state == "ready"
    assert (probe.status.pairs, probe.status.errors) == (stream.sent, 0)
    assert not any(probe.drops().values())
    assert "building a copied engine in the background: there is no copy" in node.output
    assert "serves 128x96 from here on" in node.output


@pytest.mark.parametrize(("builder", "sentence"), [("FAIL", "the kernel fell over"), ("HANG", "longer than 1 s")])
def test_a_build_that_fails_or_hangs_is_a_warning_and_fusing_goes_on(start, builder, sentence):
    _, probe, stream = start(builder, **{"engine.build_timeout": 1.0})
    stream.until(lambda: probe.status.engine_state == "fallback", "the failure")
    assert sentence in probe.status.engine_reason
    wait_until(lambda: engine_diagnostic(probe).level == DiagnosticStatus.WARN, "the warning")
    assert sentence in engine_diagnostic(probe).message
    for _ in range(5):
        stream.pair()
    wait_until(lambda: probe.status.published == stream.sent, "every pair to be counted")
    assert not any(probe.drops().values())


def test_a_node_that_is_cleaned_up_or_stopped_while_building(start):
    node, probe, stream = start("HANG")
    stream.until(lambda: probe.status.engine_state == "building", "a build")
    assert probe.change_state(Transition.TRANSITION_DEACTIVATE)
    assert probe.change_state(Transition.TRANSITION_CLEANUP)
    assert probe.change_state(Transition.TRANSITION_CONFIGURE)
    assert probe.change_state(Transition.TRANSITION_ACTIVATE)
    probe.wait_active()
    stream.until(lambda: probe.status.engine_state == "building", "another build")
    assert node.stop() == 0
    assert "Traceback" not in node.output


def test_the_reason_for_onnx_runtime_is_in_log_status_and_diagnostics(tmp_path):
    domain = next_domain()
    probe = Probe(domain)
    node = Process([sys.executable, "-m", "vi_fusion_ros.ros.fusion_node", "--ros-args", "-p", "backend:=auto"], domain)
    try:
        probe.wait_active()
        reason = probe.status.engine_reason
        assert "ONNX Runtime" in reason or "TensorRT" in reason
        assert reason in node.output
        wait_until(lambda: probe.received["diagnostics"], "diagnostics")
        assert reason in [value.value for value in engine_diagnostic(probe).values]
    finally:
        node.stop()
        probe.close()
