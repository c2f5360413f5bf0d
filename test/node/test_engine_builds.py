"""A better engine is built while the node fuses: nothing is dropped, everything stays callable."""

import contextlib
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import numpy as np
import standin_tensorrt
from diagnostic_msgs.msg import DiagnosticStatus
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, wait_until
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
def started():
    """Takes what has to be stopped; the last is stopped first."""
    stops = []
    yield stops
    for stop in reversed(stops):
        stop()


@pytest.fixture
def start(tmp_path, model, started):
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

    return _start


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


@pytest.fixture
def start_with_tensorrt(tmp_path, monkeypatch, started):
    """Starts the node as users do, where it finds a stand-in for TensorRT and a GPU (test/support/standin/)."""
    if standin_tensorrt.compiler() is None:
        pytest.skip("there is no C compiler")
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    libraries = standin_tensorrt.build(tmp_path)

    def _start(build):
        with monkeypatch.context() as patch:
            settings = {"build": build, "go": str(tmp_path / "go")}
            for name, value in standin_tensorrt.environment(libraries, **settings).items():
                patch.setenv(name, value)
            domain = next_domain()
            probe = Probe(domain)
            started.append(probe.close)
            parameters = {"engine.cache_dir": str(tmp_path / "cache"), "status_rate": 20.0, "threads": 1, **STEADY}
            node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
            started.append(node.stop)
        probe.wait_active()
        return node, probe, Stream(probe)

    return _start


def test_with_tensorrt_the_node_builds_with_vi_fusion_compile_and_changes_over(start_with_tensorrt, tmp_path):
    node, probe, stream = start_with_tensorrt("slow")
    stream.until(lambda: "s: building fp16 128x96" in probe.status.engine_reason, "the builder's progress")
    assert probe.status.engine_state == "building"
    assert probe.status.engine.startswith("onnxruntime")
    assert probe.state() == "active"
    assert probe.set_parameter("queue_depth", 3) == (True, "")
    before = len(probe.received["fused"])
    (tmp_path / "go").touch()
    stream.until(lambda: probe.status.engine.startswith("tensorrt 10.3.0 fp16 128x96 on Stand-in"), "TensorRT to serve")
    for _ in range(5):
        stream.pair()
    wait_until(lambda: probe.status.published == stream.sent, "every pair to be counted")
    assert (probe.status.engine_state, probe.status.errors) == ("ready", 0)
    assert not any(probe.drops().values())
    wait_until(lambda: len(probe.received["fused"]) >= stream.sent, "every fused image")
    # The lower halves: in the upper ones a pixel changes, so that no camera looks frozen.
    images = [np.frombuffer(m.data, np.uint8)[len(m.data) // 2 :].astype(int) for m in probe.received["fused"]]
    assert np.abs(images[before - 1] - images[-1]).max() <= 3, "another image than that of ONNX Runtime"
    assert node.stop() == 0
    assert len(list((tmp_path / "cache").glob("*.engine"))) == 1

    again, probe, stream = start_with_tensorrt("fail")
    stream.until(lambda: probe.status.engine.startswith("tensorrt"), "the engine that was built before")
    assert "in the background" not in again.output


def test_a_node_that_is_killed_takes_its_builder_with_it(start_with_tensorrt, tmp_path):
    node, probe, stream = start_with_tensorrt("hang")
    stream.until(lambda: "s: building fp16 128x96" in probe.status.engine_reason, "the builder's progress")
    builders = [pid for pid in children(node.process.pid) if b"compile" in command_line(pid)]
    assert len(builders) == 1
    node.process.kill()
    node.process.wait()
    wait_until(lambda: not command_line(builders[0]), "the builder to end")
    assert not list((tmp_path / "cache").glob("*.engine"))


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def command_line(pid):
    """Empty where the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_reason_for_onnx_runtime_is_in_log_status_and_diagnostics(tmp_path):
    domain = next_domain()
    probe = Probe(domain)
    command = [sys.executable, "-m", "vi_fusion_ros.node.fusion_node", "--ros-args", "-p", "backend:=auto"]
    node = Process(command, domain)
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
