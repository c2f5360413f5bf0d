"""A thermal camera that repeats an image while its shutter is closed, as ~/status counts it."""

import itertools

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import numpy as np
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until

pytestmark = pytest.mark.ros


def test_a_closed_shutter_is_counted_with_its_time(model):
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, "model": str(model)})
    stamps = itertools.count(START_NS, PERIOD_NS)

    def show(thermal, until, what):
        def shown():
            stamp = next(stamps)
            probe.send("visible", stamp)
            probe.send("thermal", stamp, thermal)
            probe.wait_for_result(stamp)
            return until(probe.status)

        wait_until(shown, what)

    try:
        probe.wait_active()
        show(None, lambda status: status.published > 10, "results")
        assert (probe.status.shutter_events, probe.status.shutter_time) == (0, 0.0)
        show(scene("thermal"), lambda status: status.shutter_time > 0.5, "the time of a shutter")
        assert probe.status.shutter_events == 1
        published, before = probe.status.published, probe.status.shutter_time
        show(None, lambda status: status.published > published + 30, "results after it")
        after = probe.status.shutter_time
        assert after >= before
        published = probe.status.published
        show(None, lambda status: status.published > published + 10, "more results")
        assert (probe.status.shutter_events, probe.status.shutter_time) == (1, after)
        (values,) = (
            {value.key: value.value for value in entry.values}
            for entry in probe.received["diagnostics"][-1].status
            if entry.name == "fusion_node: thermal stream"
        )
        assert values["shutter events"] == "1"
        assert node.stop() == 0
    finally:
        node.stop()
        probe.close()


@pytest.mark.parametrize(("kind", "rows"), [("lepton", 2), ("lepton", -2), ("boson", -2)])
def test_a_camera_says_itself_when_its_shutter_is_closed(model, kind, rows):
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(model), "thermal.telemetry_rows": rows, "thermal.telemetry": kind}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    stamps = itertools.count(START_NS, PERIOD_NS)

    def image(stamp, ffc_state):
        telemetry = np.zeros((2, 128), np.uint16)
        if kind == "lepton":
            telemetry[0, 3] = ffc_state << 4 | 0x8  # and that it wants a correction
        else:
            telemetry[0, 5:9] = np.frombuffer(b"20640A01", "<u2")
            telemetry[0, 38] = ffc_state | 0x20  # the same
        picture = scene("thermal")
        picture[0, 0] += stamp // PERIOD_NS % 100
        return np.vstack([picture, telemetry] if rows > 0 else [telemetry, picture])

    def show(ffc_state, until, what):
        def shown():
            stamp = next(stamps)
            probe.send("visible", stamp)
            probe.send("thermal", stamp, image(stamp, ffc_state))
            probe.wait_for_result(stamp)
            return until(probe.status)

        wait_until(shown, what)

    try:
        probe.wait_active()
        show(1, lambda status: status.published_both > 10, "results while a correction is imminent")
        assert (probe.status.shutter_events, probe.status.thermal_health) == (0, "ok")
        show(2, lambda status: status.thermal_health == "shuttered", "the shutter")
        show(2, lambda status: status.published_visible_only > 5, "results without it")
        show(3, lambda status: status.thermal_health == "ok", "the end of the correction")
        assert probe.status.shutter_events == 1
        assert probe.status.shutter_time > 0
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        node.stop()
        probe.close()


def test_telemetry_without_rows_is_refused_in_a_sentence(model):
    domain = next_domain()
    probe = Probe(domain)
    settings = {"status_rate": 20.0, "model": str(model), "thermal.telemetry": "lepton"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        wait_until(lambda: probe.status is not None and probe.status.last_error, "the reason")
        assert probe.status.last_error == (
            "parameter thermal.telemetry is lepton, but thermal.telemetry_rows is 0; expected how many rows there are"
        )
        assert node.stop() == 0
    finally:
        node.stop()
        probe.close()
