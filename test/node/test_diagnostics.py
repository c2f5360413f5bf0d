"""What diagnostics say of a status and of what is around the node; and the real thing, once."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from harness import START_NS, NodeProcess, Probe, next_domain, wait_until
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.status.diagnostics import Diagnostics, Expectations
from vi_fusion_ros.node.status.graph_checks import (
    GraphChecks,
    Stream,
    ThreadCpuWait,
    dds_profile_fault,
    look_at_stream,
)

pytestmark = pytest.mark.ros

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
STREAMS = {"visible": Stream("/v", 1, (), 900_000), "thermal": Stream("/t", 1, (), 600_000)}
STAGES = ["sync_wait", "queue", "decode", "register", "infer", "compose", "publish", "total"]


def status(**fields):
    healthy = {
        "state": "active", "enabled": True, "visible_health": "ok", "thermal_health": "ok", "visible_rate": 30.0,
        "thermal_rate": 30.0, "pair_rate": 30.0, "output_rate": 30.0, "latency_stages": STAGES,
        "latency_p50": [20.0] * 8, "latency_p95": [30.0] * 8, "latency_p99": [40.0] * 8,
    }  # fmt: skip
    return FusionStatus(**{**healthy, **fields})


def report(around=None, expected=(0.0, 0.0), budget=0.0, fault="", before=None, **fields):
    """Entries by their short name."""
    diagnostics = Diagnostics("/robot/fusion_node")
    expectations = Expectations(dict(zip(("visible", "thermal"), expected, strict=True)), budget)
    around = around or GraphChecks(STREAMS)
    diagnostics.report(before or status(), "", expectations, around)
    array = diagnostics.report(status(**fields), fault, expectations, around)
    assert {entry.hardware_id for entry in array.status} == {"robot/fusion_node"}
    return {entry.name.removeprefix("robot/fusion_node: "): entry for entry in array.status}


def values(entry):
    return {pair.key: pair.value for pair in entry.values}


def test_all_is_well():
    entries = report()
    assert list(entries) == [
        "streams", "visible stream", "thermal stream", "pairing", "latency", "engine", "registration",
    ]  # fmt: skip
    assert {entry.level for entry in entries.values()} == {OK}
    assert values(entries["visible stream"])["rate [Hz]"] == "30.00"


@pytest.mark.parametrize("word", ["silent", "frozen", "black", "saturated", "shuttered"])
def test_each_fault_is_named_for_its_stream(word):
    entries = report(thermal_health=word, mode=FusionStatus.MODE_VISIBLE_ONLY)
    assert (entries["thermal stream"].level, entries["visible stream"].level) == (ERROR, OK)
    assert entries["thermal stream"].message.startswith(word)
    assert entries["streams"].level == WARN
    assert entries["streams"].message == "degraded: visible camera only"


def test_both_gone_is_an_error_that_names_both():
    entries = report(visible_health="black", thermal_health="silent", mode=FusionStatus.MODE_NONE)
    assert entries["streams"].level == ERROR
    assert entries["streams"].message == "no result: visible black and thermal silent"


def test_rates_are_held_against_what_is_expected():
    entries = report(expected=(30.0, 60.0))
    assert (entries["visible stream"].level, entries["thermal stream"].level) == (OK, WARN)
    assert entries["thermal stream"].message == "30.0 Hz instead of 60.0 Hz"


def test_what_keeps_images_away_comes_first():
    streams = {"visible": Stream("/v", 1, ("QoS is incompatible",)), "thermal": Stream("/t", 0)}
    entries = report(GraphChecks(streams), visible_health="silent", thermal_health="silent")
    assert entries["visible stream"].message == "QoS is incompatible"
    assert entries["thermal stream"].message == "nobody publishes /t"


def test_two_publishers_of_one_topic_and_a_missing_profile():
    entries = report(GraphChecks({**STREAMS, "visible": Stream("/v", 2)}, "no profile"))
    assert entries["visible stream"].message == "2 publishers of /v; expected one"
    assert (entries["thermal stream"].level, entries["thermal stream"].message) == (WARN, "no profile")


def test_images_that_do_not_pair():
    entries = report(pair_rate=3.0, drop_reasons=["too_far"], drop_counts=[70])
    assert entries["pairing"].level == WARN
    assert "stamps lie too far apart" in entries["pairing"].message
    assert values(entries["pairing"])["dropped: too_far"] == "70"


def test_a_budget_that_is_missed_and_who_takes_the_time():
    assert report(budget=0.05)["latency"].level == OK
    slow = report(budget=0.025)["latency"]
    assert (slow.level, slow.message) == (
        WARN, "p95 30.0 ms is over the budget of 25.0 ms: the network takes 20.0 ms a pair",
    )  # fmt: skip
    starved = report(GraphChecks(STREAMS, cpu_wait=0.6), budget=0.025)["latency"]
    assert "other work takes the processors (the worker waits 60 % of its time)" in starved.message


def test_skipped_images_since_the_last_report():
    before = status(drop_reasons=["skipped"], drop_counts=[4])
    assert report(before=before, drop_reasons=["skipped"], drop_counts=[4])["latency"].level == OK
    entry = report(before=before, drop_reasons=["skipped"], drop_counts=[10])["latency"]
    assert entry.message.startswith("6 images skipped")


def test_disabled_is_no_fault():
    entries = report(GraphChecks(), enabled=False, mode=FusionStatus.MODE_NONE, visible_health="", thermal_health="")
    assert {entry.level for entry in entries.values()} == {OK}
    assert entries["streams"].message == "disabled by ~/set_enabled"


def test_a_missing_dds_profile_matters_for_large_images_only(monkeypatch):
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert dds_profile_fault(20_000) == ""
    assert "DEFAULT_PROFILES_FILE is not set" in dds_profile_fault(921_600)


def test_waiting_for_a_processor_is_a_share_or_not_known(tmp_path):
    wait = ThreadCpuWait(1)
    wait._path = tmp_path / "schedstat"
    assert wait.share() is None
    wait._path.write_text("100 50 3\n")
    assert wait.share() is None
    wait._path.write_text("400 150 9\n")
    assert wait.share() == pytest.approx(0.25)
    assert wait.share() == 0.0


@pytest.mark.parametrize(
    ("mine", "theirs", "policies"),
    [
        ({"reliability": ReliabilityPolicy.BEST_EFFORT}, {"reliability": ReliabilityPolicy.BEST_EFFORT}, []),
        ({"reliability": ReliabilityPolicy.RELIABLE}, {"reliability": ReliabilityPolicy.BEST_EFFORT}, ["RELIABILITY"]),
        (
            {"durability": DurabilityPolicy.TRANSIENT_LOCAL, "reliability": ReliabilityPolicy.RELIABLE},
            {"durability": DurabilityPolicy.VOLATILE, "reliability": ReliabilityPolicy.BEST_EFFORT},
            ["RELIABILITY", "DURABILITY"],
        ),
    ],
)
def test_incompatible_publishers_are_named_with_the_policy(mine, theirs, policies):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=next_domain())
    node = rclpy.create_node("camera", namespace="/front", context=context)
    try:
        node.create_publisher(Image, "image", QoSProfile(depth=1, **theirs))
        wait_until(lambda: node.count_publishers("/front/image") == 1, "the publisher to be seen")
        stream = look_at_stream(node, "/front/image", QoSProfile(depth=1, **mine), 5)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert stream.publishers == 1
    assert len(stream.conflicts) == bool(policies)
    for sentence in stream.conflicts:
        assert sentence.startswith("nothing comes from /front/camera: its QoS on /front/image")
        assert all(policy in sentence for policy in policies)


def test_the_real_node_names_a_camera_that_it_cannot_hear():
    domain = next_domain()
    probe = Probe(domain)
    parameters = {"status_rate": 20.0, "qos_overrides./visible/image.subscription.reliability": "reliable"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
    try:
        probe.wait_active()
        probe.send_pair(START_NS)
        probe.wait_for_result(START_NS)
        probe.node.create_publisher(
            Image, "visible/image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        )

        def entry(name):
            return next(s for s in probe.received["diagnostics"][-1].status if s.name == f"fusion_node: {name}")

        wait_until(lambda: "incompatible in RELIABILITY" in entry("visible stream").message, "the conflict to be named")
        assert entry("visible stream").level == ERROR
        assert values(entry("visible stream"))["publishers"] == "2"
        assert values(entry("thermal stream"))["publishers"] == "1"
        assert int(values(entry("visible stream"))["bytes"]) > 128 * 96 * 3
    finally:
        probe.close()
        node.stop()
