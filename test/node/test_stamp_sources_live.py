"""Cameras that stamp with their uptime or not at all, live and in bags."""

import itertools
import json
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from bag_maker import THERMAL, VISIBLE, streams, write_bag
from harness import NodeProcess, Probe, next_domain, wait_until
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from vi_fusion_ros import cli
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.node.messages import stamp_ns

pytestmark = pytest.mark.ros

UPTIME_NS = 73_000_000_000


@pytest.fixture
def start():
    started = []

    def _start(parameters):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        patient = {"status_rate": 20.0, "pairing.max_skew": 5.0}  # a busy machine may be late
        node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {**patient, **parameters})
        started.append(node.stop)
        probe.wait_active()
        return node, probe

    yield _start
    for stop in reversed(started):
        stop()


def test_a_camera_without_stamps_and_one_with_its_uptime_are_paired_in_ros_time(start):
    node, probe = start({"visible.stamp_source": "arrival", "thermal.stamp_source": "estimated"})
    begin = time.time_ns()
    for n in itertools.count():
        probe.send("visible", 0)
        probe.send("thermal", UPTIME_NS + time.time_ns() - begin)
        wait_until(lambda n=n: len(probe.received["classification"]) > n, "a result of each pair")
        if n == 9:
            break
    results = probe.received["classification"][:10]
    end = time.time_ns()
    for result in results:
        assert begin <= stamp_ns(result.header.stamp) <= end
        assert begin <= stamp_ns(result.thermal_stamp) <= end
    thermal = [stamp_ns(result.thermal_stamp) for result in results]
    assert thermal == sorted(thermal)
    wait_until(lambda: probe.status.published_both == 10, "ten pairs in the status")
    assert not any(reason.startswith("no_stamp") for reason in probe.drops())
    assert node.stop() == 0
    assert "Traceback" not in node.output


def test_an_estimate_needs_a_stamp(start):
    _, probe = start({"visible.stamp_source": "estimated"})
    probe.send("visible", 0)
    wait_until(lambda: probe.drops().get("no_stamp_visible") == 1, "the image to be counted")


def with_uptime(bag, path):
    """The same bag with thermal stamps that count from when the camera was switched on, 200 ppm slow."""
    kind = "sensor_msgs/msg/Image"
    with Reader(bag) as reader, Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        to = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=typestore()) for c in reader.connections}
        first = None
        for connection, log_ns, data in reader.messages():
            if connection.topic == THERMAL:
                message = typestore().deserialize_cdr(data, kind)
                stamp = message.header.stamp
                now = stamp.sec * 10**9 + stamp.nanosec
                first = first or now
                stamp.sec, stamp.nanosec = divmod(UPTIME_NS + round((now - first) * 0.9998), 10**9)
                data = typestore().serialize_cdr(message, kind)
            writer.write(to[connection.topic], log_ns, data)
    return path


def test_bags_with_uptime(tmp_path, model):
    bag = with_uptime(write_bag(tmp_path / "plain", streams(2)), tmp_path / "uptime")

    def evaluated(*more):
        out = tmp_path / "out.json"
        topics = ["--visible-topic", VISIBLE, "--thermal-topic", THERMAL]
        status = cli.main(
            ["evaluate", "bag", str(bag), *topics, "--model", str(model), "--json", str(out), "--jobs", "1", *more]
        )
        return json.loads(out.read_text()) if status == 0 else None

    assert evaluated() is None, "no thermal stamp is near a visible one"
    for source in ("estimated", "arrival"):
        file = tmp_path / f"{source}.yaml"
        sources = {"visible.stamp_source": source, "thermal.stamp_source": source}
        file.write_text(json.dumps({"/**": {"ros__parameters": sources}}))
        result = evaluated("--parameters", str(file))
        assert result["n"] == 60
        # Recorded 5 ms after they were taken; 3 ms apart.
        assert result["pairing"]["mean_abs_skew_ms"] < 4
