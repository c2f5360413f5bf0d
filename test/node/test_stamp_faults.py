"""Stamps that are wrong: zero, of another epoch, late, standing still, stepping back; and what the node says of it."""

import itertools
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from rclpy.parameter import Parameter

from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.node.fusion_node import FusionNode
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor
from vi_fusion_ros.node.status.output_watch import NOTHING_GOES_OUT
from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.types import Mode

pytestmark = pytest.mark.ros

NODE = "vi_fusion_ros.node.fusion_node"
PATIENCE_S = 90.0


@pytest.fixture
def start():
    """Starts a fusion node with parameters and a probe beside it; both are stopped after the test."""
    started = []

    def _start(parameters=None):
        domain = next_domain()
        probe = Probe(domain)
        started.append(probe.close)
        node = NodeProcess(NODE, domain, {"status_rate": 20.0, **(parameters or {})})
        started.append(node.stop)
        probe.wait_active()
        return node, probe

    yield _start
    for stop in reversed(started):
        stop()


def send_until(probe, condition, what, stamps, **images):
    """Send pairs at about 20 Hz, stamped by ``stamps(n)``, until ``condition`` holds."""
    for n in itertools.count():
        if condition():
            return
        assert n < PATIENCE_S * 20, f"not within {n} pairs: {what}"
        visible, thermal = stamps(n)
        if visible is not None:
            probe.send("visible", visible, images.get("visible"))
        if thermal is not None:
            probe.send("thermal", thermal, images.get("thermal"))
        threading.Event().wait(0.05)  # the rate of the cameras; nothing depends on it


def warnings(node):
    return [line for line in node.output.splitlines() if line.startswith("[WARN]")]


def summary(probe):
    return probe.received["diagnostics"][-1].status[0].message if probe.received["diagnostics"] else ""


REASONS = {
    "zero stamps": (
        lambda n: (0, 0),
        {},
        "/visible/image and /thermal/image: the stamps are zero",
    ),
    "another epoch": (
        lambda n: (START_NS + n * 50_000_000, 1_000_000_000 + n * 50_000_000),
        {},
        "the thermal stamps are 1699999999 s (53.9 years) behind the visible ones when they arrive: "
        "the cameras' drivers stamp by different clocks",
    ),
    "700 ms": (
        lambda n: (START_NS + n * 50_000_000, START_NS + n * 50_000_000 - 700_000_000),
        {},
        "set thermal.time_offset to 0.7",
    ),
    "stamps that stand still": (
        lambda n: (START_NS + n * 50_000_000, START_NS - 10**10),
        {},
        "the stamps of /thermal/image stand still",
    ),
    "both frozen": (
        lambda n: (START_NS + n * 50_000_000, START_NS + n * 50_000_000),
        {"visible": scene("visible"), "thermal": scene("thermal")},
        "the visible images are frozen and the thermal images are frozen",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_images_arrive_and_nothing_goes_out_is_one_warning_with_the_reason(start, name):
    stamps, images, sentence = REASONS[name]
    node, probe = start({"health.fault_time": 0.5})
    send_until(probe, lambda: sentence in probe.status.last_error, f"last_error to name {name}", stamps, **images)
    if name != "zero stamps":
        assert probe.status.last_error.startswith(NOTHING_GOES_OUT)
    send_until(probe, lambda: sentence in summary(probe), "diagnostics to name it", stamps, **images)
    (warning,) = warnings(node)
    assert sentence in warning
    assert probe.status.errors == 1


def test_the_figure_that_is_named_makes_pairs(start):
    _, probe = start()
    late_ns = 700_000_000

    def stamps(n):
        return START_NS + n * 50_000_000, START_NS + n * 50_000_000 - late_ns

    send_until(probe, lambda: "time_offset to " in probe.status.last_error, "the figure", stamps)
    figure = float(probe.status.last_error.split("time_offset to ")[1].split(";")[0])
    assert probe.set_parameter("thermal.time_offset", figure)[0]
    sent = itertools.count(10_000)
    send_until(probe, lambda: probe.status.pairs > 5, "pairs", lambda _: stamps(next(sent)))


def test_zero_stamps_of_one_camera_leave_the_other_one_alone(start):
    node, probe = start({"single_camera_timeout": 0.4})

    def stamps(n):
        return START_NS + n * 50_000_000, 0

    send_until(
        probe,
        lambda: probe.status.published_visible_only > 3 and probe.drops().get("no_stamp_thermal"),
        "results",
        stamps,
    )
    assert "/thermal/image: the stamps are zero" in probe.status.last_error
    streams = [status.message for status in probe.received["diagnostics"][-1].status if "thermal" in status.name]
    assert streams == ["images arrive, but their stamps are zero; its driver has to set header.stamp"]
    assert "late" not in {name for name, count in probe.drops().items() if count}
    assert len(warnings(node)) == 1


@pytest.mark.parametrize("back_ns", [10**9, 28 * 365 * 86400 * 10**9])
def test_a_jump_back_with_one_camera_is_counted_and_nothing_of_before_smooths_what_comes(start, back_ns):
    _, probe = start({"single_camera_timeout": 0.3})
    sent = itertools.count()

    def more(image, first_ns):
        """Send images, one period from one to the next, until a new result of the thermal camera alone has come."""
        before = probe.status.published_thermal_only
        while probe.status.published_thermal_only == before:
            probe.send("thermal", first_ns + next(sent) * PERIOD_NS, image)
            threading.Event().wait(0.05)  # the rate of the camera; nothing depends on it

    for _ in range(3):
        more(scene("thermal"), START_NS)
    assert probe.status.time_resets == 0
    warm = scene("thermal") + np.uint16(3000)
    stamp = START_NS - back_ns
    probe.send("thermal", stamp, warm)
    probe.wait_for_result(stamp)
    wait_until(lambda: probe.status.time_resets == 1, "the jump to be counted")

    def fused():
        return [image for image in list(probe.received["fused"]) if stamp_ns(image.header.stamp) == stamp]

    wait_until(fused, "the fused image")
    np.testing.assert_array_equal(decode_image(fused()[0]), ToneMapper()(warm))
    more(warm, stamp)
    assert probe.status.time_resets == 1


@pytest.fixture
def node_here():
    """A fusion node in this process, so that its parts can be held up; and a probe beside it."""
    domain = next_domain()
    probe = Probe(domain)
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    settings = {
        "status_rate": 20.0, "threads": 1, "single_camera_timeout": 0.3, "health.fault_time": 0.0,
        "health.recovery_time": 0.0, "queue_depth": 30, "pairing.queue_size": 100,
    }  # fmt: skip
    overrides = [Parameter(name, value=value) for name, value in settings.items()]
    node = FusionNode(context=context, parameter_overrides=overrides)
    node.autostart()
    spinner = BackgroundExecutor(node)
    probe.wait_active()
    yield node, probe
    spinner.stop()
    node.destroy_node()
    rclpy.shutdown(context=context)
    probe.close()


def test_an_image_alone_never_overtakes_a_pair(node_here, monkeypatch):
    node, probe = node_here
    held, go_on, paired = threading.Event(), threading.Event(), node._statistics.paired

    def hold_up(*args):
        held.set()
        assert go_on.wait(PATIENCE_S)
        paired(*args)

    monkeypatch.setattr(node._statistics, "paired", hold_up)
    # Nothing is known of the rates yet, so that the pair waits for a better partner until max_wait is over.
    probe.send("visible", START_NS)
    probe.send("thermal", START_NS + 20_000_000)
    assert held.wait(PATIENCE_S), "no pair was formed"
    # The visible camera is silent from here on, and thermal images go out alone.
    received = []
    for n in itertools.count(1):
        received.append(START_NS + 20_000_000 + n * PERIOD_NS)
        probe.send("thermal", received[-1])
        wait_until(lambda: probe.status.thermal_received > n, "the image to arrive")  # noqa: B023
        if node._session.health.describe(time.monotonic())["visible"] == "silent" and n > 12:
            break
    go_on.set()
    probe.wait_for_result(received[-1])
    modes = [Mode(message.mode) for message in list(probe.received["classification"])]
    assert modes[0] is Mode.BOTH
    assert Mode.THERMAL_ONLY in modes[1:]
    stamps = [stamp_ns(message.header.stamp) for message in list(probe.received["classification"])]
    assert stamps == sorted(stamps)
