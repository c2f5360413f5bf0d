"""A thermal camera that repeats an image while its shutter is closed, as ~/status counts it."""

import itertools

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

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
