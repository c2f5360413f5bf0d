import itertools

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import START_NS, NodeProcess, Probe, next_domain, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from vi_fusion_ros.images.encodings import decode_image

pytestmark = pytest.mark.ros


def blocks(frame, shift=0, other_scene=False):
    """A pair of images of blocks; the thermal one is moved to the right."""
    random = np.random.default_rng(7)
    images = [np.full((240, 320), level, np.float32) for level in (90, 120)]
    for _ in range(60):
        x, y, w, h = (int(v) for v in random.integers((0, 0, 10, 10), (320, 240, 60, 60)))
        for image in images:
            image[y : y + h, x : x + w] = random.uniform(40, 210)
    noise = np.random.default_rng(100 + frame)
    visible, thermal = (cv2.GaussianBlur(image, (0, 0), 1) + noise.normal(0, 3, image.shape) for image in images)
    if other_scene:
        thermal = np.rot90(thermal, 2)
    return visible.clip(0, 255).astype(np.uint8), np.roll(28000 + 10 * thermal, shift, axis=1).astype(np.uint16)


@pytest.fixture
def start(model):
    """Starts a fusion node with the tiny model and a drift mode, and a probe beside it."""
    started = []

    def _start(mode):
        domain = next_domain()
        probe = Probe(domain, topics={"thermal_registered": Image})
        started.append(probe.close)
        parameters = {"status_rate": 20.0, "model": str(model), "drift.mode": mode, "drift.rate": 5.0}
        started.append(NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters).stop)
        probe.wait_active()
        return probe

    yield _start
    for stop in reversed(started):
        stop()


def play(probe, condition, what, first=0, **scene):
    """Send pairs, half a second apart by their stamps, until ``condition`` holds."""
    numbers = itertools.count(first)

    def sent_and_true():
        n = next(numbers)
        visible, thermal = blocks(n, **scene)
        probe.send("visible", START_NS + n * 500_000_000, cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR))
        probe.send("thermal", START_NS + n * 500_000_000, thermal)
        probe.wait_for_result(START_NS + n * 500_000_000)
        return condition()

    wait_until(sent_and_true, what, 120.0)


def registration(probe):
    """The latest diagnostics of the registration."""
    return next(s for s in probe.received["diagnostics"][-1].status if s.name == "fusion_node: registration")


def likeness(message):
    """Correlation of a published thermal image with the one that is in place, away from the border."""
    inner = np.s_[20:-20, 20:-20]
    images = (decode_image(message).astype(float), blocks(0)[1].astype(float))
    return float(np.corrcoef(*(image[inner].ravel() for image in images))[0, 1])


def test_a_drift_is_corrected_in_the_published_images(start):
    probe = start("correct")

    def in_place():
        images = probe.received["thermal_registered"]
        return probe.status.drift_state == "corrected" and images and likeness(images[-1]) > 0.98

    play(probe, in_place, "corrected images", shift=6)
    assert likeness(probe.received["thermal_registered"][0]) < 0.9
    status = probe.status
    assert status.drift_shift_x == pytest.approx(-6, abs=0.7)
    assert status.drift_shift_y == pytest.approx(0, abs=0.7)
    assert status.drift_residual < 0.7
    assert status.drift_confidence > 0.5
    wait_until(lambda: registration(probe).message.startswith("the rig file no longer holds"), "the diagnostics")
    assert registration(probe).level == b"\1"


@pytest.mark.parametrize("swap", ["tone parameter", "reload_engine"])
def test_a_correction_outlasts_another_pipeline(start, swap):
    probe = start("correct")
    play(probe, lambda: probe.status.drift_state == "corrected", "the correction", shift=6)
    if swap == "tone parameter":
        assert probe.set_parameter("thermal.min_span", 2.0) == (True, "")
    else:
        answer = probe.call(Trigger, "reload_engine", Trigger.Request())
        assert answer.success, answer.message
    wait_until(lambda: probe.node.count_subscribers("/fusion_node/thermal_registered"), "the subscription")
    probe.received["thermal_registered"].clear()
    play(probe, lambda: probe.received["thermal_registered"], "a registered image", first=1000, shift=6)
    assert likeness(probe.received["thermal_registered"][0]) > 0.98
    assert probe.status.drift_state == "corrected"


def test_reset_registration_takes_the_correction_back_and_the_monitor_starts_anew(start):
    probe = start("correct")
    play(probe, lambda: probe.status.drift_state == "corrected", "the correction", shift=6)
    assert probe.call(Trigger, "reset_registration", Trigger.Request()).success
    told = len(probe.received["status"])
    wait_until(lambda: len(probe.received["status"]) > told + 1, "a status made after the reset")
    assert (probe.status.drift_state, probe.status.drift_shift_x) == ("starting", 0)
    probe.received["thermal_registered"].clear()
    play(probe, lambda: probe.received["thermal_registered"], "a registered image", first=1000, shift=6)
    assert likeness(probe.received["thermal_registered"][0]) < 0.9


def test_a_drift_is_told_and_nothing_moved_in_mode_monitor(start):
    probe = start("monitor")
    play(probe, lambda: probe.status.drift_state == "drifted", "the drift", shift=6)
    assert probe.status.drift_residual == pytest.approx(6, abs=0.7)
    assert (probe.status.drift_shift_x, probe.status.drift_scale) == (0, 1)
    wait_until(lambda: "off by" in registration(probe).message, "the diagnostics")
    assert registration(probe).level == b"\1"


def test_images_of_different_scenes_are_said_to_tell_nothing(start):
    probe = start("correct")
    play(probe, lambda: probe.status.drift_state == "unsure", "the verdict", other_scene=True)
    assert np.isnan(probe.status.drift_residual)
    wait_until(lambda: "share too little structure" in registration(probe).message, "the diagnostics")


def test_off_is_off(start):
    probe = start("off")
    play(probe, lambda: probe.status.published > 2, "results", shift=6)
    assert probe.status.drift_state == "off"
    assert registration(probe).message == "not watched"
