"""The fusion node's services and run-time parameters, over DDS."""

import itertools
import json
import os
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PATIENCE, PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from lifecycle_msgs.srv import GetAvailableTransitions
from rcl_interfaces.srv import DescribeParameters, ListParameters
from std_srvs.srv import SetBool, Trigger

from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.parameters.declaration import schema
from vi_fusion_ros.resources import default_model

pytestmark = pytest.mark.ros

NODE = "vi_fusion_ros.node.fusion_node"


class Graph:
    """A fusion node, a probe, and stamps that go on."""

    def __init__(self, parameters):
        domain = next_domain()
        self.probe = Probe(domain)
        self.node = NodeProcess(NODE, domain, {"status_rate": 20.0, **parameters})
        self.stamp = START_NS

    def pair(self, skew_ns=0):
        self.stamp += PERIOD_NS
        self.probe.send_pair(self.stamp, skew_ns)
        return self.stamp

    def result(self, skew_ns=0):
        return self.probe.wait_for_result(self.pair(skew_ns))

    def result_of_any(self, skew_ns):
        """The result of the first pair that comes after a change has reached the thread that pairs."""
        stamps = itertools.count(self.stamp + PERIOD_NS, PERIOD_NS)
        answer = self.probe.send_until_result(lambda stamp: self.probe.send_pair(stamp, skew_ns), stamps)
        self.stamp = next(stamps)
        return answer

    def trigger(self, name):
        answer = self.probe.call(Trigger, name, Trigger.Request())
        return answer.success, answer.message

    def set_enabled(self, enabled):
        answer = self.probe.call(SetBool, "set_enabled", SetBool.Request(data=enabled))
        return answer.success, answer.message

    def close(self):
        self.probe.close()
        self.node.stop()


@pytest.fixture
def start():
    """Starts a graph with parameters; closed after the test."""
    graphs = []

    def _start(parameters=None, active=True):
        graph = Graph(parameters or {})
        graphs.append(graph)
        if active:
            graph.probe.wait_active()
        else:
            wait_until(lambda: graph.probe.status, "a status")
        return graph

    yield _start
    for graph in graphs:
        graph.close()


def test_what_ros2_param_lifecycle_and_service_ask_for(start):
    """The services behind ``ros2 param list`` and ``describe``, ``ros2 lifecycle list`` and ``ros2 service list``."""
    graph = start()
    names = graph.probe.call(ListParameters, "list_parameters", ListParameters.Request()).result.names
    assert set(schema()) <= set(names)
    request = DescribeParameters.Request(names=list(schema()))
    for told in graph.probe.call(DescribeParameters, "describe_parameters", request).descriptors:
        rule = schema()[told.name]
        assert told.description.startswith(rule["description"])
        ranges = [*told.integer_range, *told.floating_point_range]
        assert bool(ranges) == ("minimum" in rule)
        assert told.read_only == (rule["x-applies"] == "start")
    asked = graph.probe.call(GetAvailableTransitions, "get_available_transitions", GetAvailableTransitions.Request())
    possible = {one.transition.label for one in asked.available_transitions}
    assert "deactivate" in possible
    assert "configure" not in possible
    services = dict(graph.probe.node.get_service_names_and_types_by_node("fusion_node", "/"))
    trigger = {f"/fusion_node/{name}" for name in ("capture", "reload_engine", "reload_rig", "reset_registration")}
    assert {name for name, types in services.items() if types == ["std_srvs/srv/Trigger"]} == trigger
    assert services["/fusion_node/set_enabled"] == ["std_srvs/srv/SetBool"]
    assert services["/fusion_node/change_state"] == ["lifecycle_msgs/srv/ChangeState"]


def test_disabled_takes_no_images_and_counts_on_when_enabled_again(start):
    graph = start()
    graph.result()
    assert graph.set_enabled(False)[0]
    wait_until(lambda: not graph.probe.camera_connected("visible"), "the subscriptions to go")
    wait_until(lambda: not graph.probe.status.enabled, "the status to say so")
    assert graph.probe.status.state == "active"
    assert graph.set_enabled(False)[0]
    assert graph.set_enabled(True)[0]
    graph.probe.wait_active()
    graph.result()
    wait_until(lambda: graph.probe.status.published == 2, "the count to go on")
    assert graph.probe.status.enabled
    assert graph.probe.status.pairs == 2


def test_a_capture_is_one_complete_folder_below_the_one_of_the_parameter(start, tmp_path):
    folder = tmp_path / "captures"
    graph = start({"capture.folder": str(folder)})
    success, message = graph.trigger("capture")
    assert not success
    assert message.startswith("there is nothing to capture")
    assert not folder.exists()
    result = graph.result(skew_ns=2_000_000)
    wait_until(lambda: graph.probe.status.published == 1, "the result to be counted")
    for expected in (f"capture_{stamp_ns(result.header.stamp)}", f"capture_{stamp_ns(result.header.stamp)}_2"):
        success, message = graph.trigger("capture")
        assert success, message
        assert message == f"captured {folder / expected}"
    captured = folder / expected
    assert sorted(path.name for path in captured.iterdir()) == [
        "attention.png", "fused.png", "result.json", "status.json", "thermal.png", "thermal_registered.png",
        "visible.png",
    ]  # fmt: skip
    thermal = cv2.imread(str(captured / "thermal.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(thermal[1:], scene("thermal")[1:])
    described = json.loads((captured / "result.json").read_text())
    assert described["skew_ns"] == 2_000_000
    assert isinstance(described["objects"], list)
    assert json.loads((captured / "status.json").read_text())["published"] == 1
    assert len(list(folder.iterdir())) == 2
    assert not graph.probe.set_parameter("capture.folder", "/tmp/elsewhere")[0]


def test_a_capture_that_cannot_be_written_is_one_sentence(start, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    graph = start({"capture.folder": str(blocked / "captures")})
    graph.result()
    wait_until(lambda: graph.probe.status.published == 1, "the result to be counted")
    success, message = graph.trigger("capture")
    assert not success
    assert "\n" not in message
    assert str(blocked) in message
    graph.result()


def test_the_rig_is_read_again_and_a_broken_one_changes_nothing(start, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text("version: 1\nH_thermal_to_visible: identity\n")
    graph = start({"rig": str(rig), "pairing.max_skew": 0.01})
    assert graph.result().overlap == 1
    rig.write_text(
        "version: 1\nH_thermal_to_visible: [[1, 0, 64], [0, 1, 0], [0, 0, 1]]\nthermal_size: [128, 96]\n"
        "visible_size: [128, 96]\ntime_offset_ms: -200.0\n"
    )
    assert graph.trigger("reload_rig") == (True, f"rig reloaded from {rig}")
    result = graph.result(skew_ns=200_000_000)
    assert result.overlap == pytest.approx(0.5, abs=0.02)
    assert result.pair_skew == pytest.approx(0, abs=1e-6)
    rig.write_text("H_thermal_to_visible: [1, 2")
    success, message = graph.trigger("reload_rig")
    assert not success
    assert str(rig) in message
    assert graph.result(skew_ns=200_000_000).overlap == pytest.approx(0.5, abs=0.02)
    assert graph.trigger("reset_registration")[0]
    assert graph.result(skew_ns=200_000_000).overlap == pytest.approx(0.5, abs=0.02)
    wait_until(lambda: graph.probe.status.pairs == 4, "pairs to be counted across the reloads")


def test_the_engine_is_loaded_again_and_a_broken_one_changes_nothing(start, tmp_path):
    model = tmp_path / "model.onnx"
    source = default_model()
    shutil.copy(source, model)
    shutil.copy(source.with_suffix(".json"), model.with_suffix(".json"))
    graph = start({"model": str(model)})
    first = graph.result()
    success, message = graph.trigger("reload_engine")
    assert success
    assert first.model_id in message
    graph.result()
    model.with_suffix(".json").write_text("{")
    success, message = graph.trigger("reload_engine")
    assert not success
    assert "\n" not in message
    assert graph.result().model_id == first.model_id
    wait_until(lambda: graph.probe.status.published == 3, "three results")


def test_an_unconfigured_node_answers_each_service_with_one_sentence(start):
    graph = start({"autostart": False}, active=False)
    for name in ("reset_registration", "reload_rig", "reload_engine", "capture"):
        success, message = graph.trigger(name)
        assert not success
        assert message
        assert "Error" not in message
    assert graph.set_enabled(True) == (False, "the node is unconfigured; activate it first")


def test_pairing_and_tone_mapping_change_at_run_time(start):
    graph = start({"pairing.max_skew": 0.05, "pairing.max_wait": 0.0})
    graph.result(skew_ns=30_000_000)
    assert graph.probe.set_parameter("pairing.max_skew", 0.01) == (True, "")
    graph.pair(skew_ns=30_000_000)
    graph.stamp += 10 * PERIOD_NS
    graph.result()
    assert graph.probe.set_parameter("thermal.time_offset", -0.03) == (True, "")
    assert graph.result_of_any(skew_ns=30_000_000).pair_skew == pytest.approx(0, abs=1e-6)
    wait_until(lambda: graph.probe.status.pairs == 3, "three pairs")
    taken, reason = graph.probe.set_parameter("thermal.range", [5.0, 1.0])
    assert taken  # of no consequence while the levels follow the scene
    taken, reason = graph.probe.set_parameter("thermal.tone_mapping", "range")
    assert not taken
    assert "expected two finite numbers, low then high" in reason
    assert graph.probe.set_parameter("thermal.range", [29000.0, 31000.0]) == (True, "")
    assert graph.probe.set_parameter("thermal.tone_mapping", "range") == (True, "")
    graph.result(skew_ns=30_000_000)


def wrong_values(rule):
    """Of the wrong type, and, where the rule has one, beyond a limit."""
    yield 7 if rule["type"] != "integer" else "seven"
    if "enum" in rule:
        yield "hopeful"
    if "minimum" in rule:
        step = 1 if rule["type"] == "integer" else 1.0
        yield rule["minimum"] - step
        yield rule["maximum"] + step
    if "minItems" in rule:
        yield [1.0] * (rule["maxItems"] + 1)


def test_every_parameter_is_checked_when_it_is_set(start):
    graph = start()
    names = {name: rule["x-applies"] for name, rule in schema().items()}
    before = {name: graph.probe.get_parameter(name) for name in names}
    for name, rule in schema().items():
        taken, reason = graph.probe.set_parameter(name, rule["default"])
        assert taken == (names[name] == "run"), (name, reason)
        assert (reason == "") == taken
        for value in wrong_values(rule):
            taken, reason = graph.probe.set_parameter(name, value)
            assert not taken, (name, value)
            assert reason, (name, value)
            assert "\n" not in reason
    defaults = {name: rule["default"] for name, rule in schema().items() if names[name] == "run"}
    for name, value in {**before, **defaults}.items():
        assert graph.probe.get_parameter(name) == pytest.approx(value), name
    for name, value in PATIENCE.items():
        if names[name] == "run":
            assert graph.probe.set_parameter(name, value)[0]
    graph.result()


def test_a_leftover_of_a_killed_capture_is_removed(start, tmp_path):
    left = tmp_path / ".left.part"
    left.mkdir()
    os.utime(left, (0, 0))
    graph = start({"capture.folder": str(tmp_path)})
    graph.result()
    wait_until(lambda: graph.probe.status.published == 1, "the result to be counted")
    assert graph.trigger("capture")[0]
    assert not left.exists()
