"""A visible camera that sends H.264, over DDS."""

import contextlib
import importlib.util
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import ffmpeg_program
import message_packages
import video_packets
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, scene, wait_until
from std_srvs.srv import Trigger

pytestmark = pytest.mark.ros

CAMERA = Path(message_packages.__file__).with_name("video_camera.py")
PACKAGE = "ffmpeg_image_transport_msgs"
WRITERS = {
    "PyAV": video_packets.encoded,
    "the program ffmpeg": lambda images: ffmpeg_program.encoded(images, "-g", "5", "-bf", "0"),
}
SETTINGS = {"status_rate": 20.0, "visible.image_transport": "ffmpeg", "pairing.max_wait": 5.0}


@pytest.mark.parametrize("writer", WRITERS)
def test_packets_become_pictures_from_the_first_key_frame_on(writer, model, tmp_path, monkeypatch):
    environment = message_packages.environment(tmp_path / "msgs", PACKAGE, message_packages.FFMPEG)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    truth = [np.roll(scene("visible"), 3 * number, axis=1) for number in range(12)]
    late = list(WRITERS[writer](truth))[2:]  # of five each: two have gone by
    (tmp_path / "packets").write_bytes(b"".join(struct.pack("<I", len(packet)) + packet for packet in late))
    domain = next_domain()
    probe = Probe(domain)
    settings = {**SETTINGS, "model": str(model), "capture.folder": str(tmp_path / "captures")}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    # A subscription that is counted need not hear yet: the first packet is sent until it arrives, then one a period.
    early = iter(range(START_NS, START_NS + 3 * PERIOD_NS, PERIOD_NS // 10))
    schedule = [str(START_NS + 3 * PERIOD_NS), str(PERIOD_NS)]
    camera = Process([sys.executable, str(CAMERA), str(tmp_path / "packets"), *schedule], domain)

    def refused():
        return probe.drops().get("invalid_visible", 0)

    try:
        wait_until(lambda: probe.status is not None and probe.status.state == "active", "the node")
        wait_until(lambda: probe.cameras["thermal"].get_subscription_count() == 2, "node and camera to hear")
        for topic in ("/visible/image/ffmpeg", "/fusion_node/classification"):
            wait_until(lambda t=topic: probe.node.count_publishers(t) and probe.node.count_subscribers(t), topic)
        while not refused():
            probe.send("thermal", next(early))
            with contextlib.suppress(AssertionError):
                wait_until(refused, "a packet to be refused", 2.0)
        for number in range(3, 12):
            stamp, before = START_NS + number * PERIOD_NS, refused()
            probe.send("thermal", stamp)
            if number < 5:
                wait_until(lambda n=before: refused() > n, "another packet to be refused")
                continue
            result = probe.wait_for_result(stamp)
            assert (result.mode, result.header.frame_id) == (0, "video_optical_frame")
            answer = probe.call(Trigger, "capture", Trigger.Request())
            (path,) = Path(answer.message.removeprefix("captured ")).glob("visible.*")
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert np.abs(image.astype(int) - truth[number].astype(int)).max() <= 12
        assert "needs a key frame" in node.output
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        for process in (camera, node):
            process.stop()
        probe.close()


def test_a_package_that_is_missing_is_named(model):
    if importlib.util.find_spec(PACKAGE) is not None:
        pytest.skip(f"{PACKAGE} is installed here")
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {**SETTINGS, "model": str(model)})
    try:
        wait_until(lambda: probe.status is not None and probe.status.last_error, "the reason")
        assert probe.status.last_error.startswith(
            f"visible.image_transport ffmpeg needs the package {PACKAGE}; install it"
        )
        assert probe.state() == "inactive"
        assert node.stop() == 0
    finally:
        node.stop()
        probe.close()
