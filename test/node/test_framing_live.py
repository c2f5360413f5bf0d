"""Images that are cut, turned and mirrored by the node, and the camera_info that follows them."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest

from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.images.framing import Framing
from vi_fusion_ros.node.geometry.camera_info import framed_info
from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.registration.info_lens import image_size

pytestmark = pytest.mark.ros

FRAMING = {
    "visible.crop": [16, 8, 96, 64],
    "visible.rotate": 90,
    "thermal.telemetry_rows": 2,
    "thermal.rotate": 270,
    "thermal.flip": "horizontal",
}


@pytest.fixture
def graph():
    domain = next_domain()
    probe = Probe(domain, topics={"thermal_registered": Image})
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, **FRAMING})
    probe.wait_active()
    yield node, probe
    node.stop()
    probe.close()


def with_telemetry(stamp: int) -> np.ndarray:
    """A thermal image with two rows of numbers below it, which change with every frame."""
    rows = np.full((2, 128), stamp, np.uint16)
    return np.vstack([scene("thermal"), rows])


def test_what_is_fused_is_the_framed_image_and_camera_info_follows(graph):
    node, probe = graph
    wait_until(lambda: probe.node.count_subscribers("/visible/camera_info") == 1, "the camera_info subscription")
    probe.listen("fusion_node/fused/camera_info", CameraInfo, "info")
    wait_until(lambda: probe.node.count_publishers("/fusion_node/fused/camera_info") == 1, "camera_info out")
    sent = CameraInfo(width=128, height=96, distortion_model="plumb_bob", d=[-0.1, 0.02, 0.001, 0.002, 0.0])
    sent.k, sent.p = [100.0, 0, 70, 0, 90, 40, 0, 0, 1], [100.0, 0, 70, 0, 0, 90, 40, 0, 0, 0, 1, 0]
    for n in range(3):
        stamp = START_NS + n * PERIOD_NS
        sent.header.stamp = to_time(stamp)
        probe.camera_info["visible"].publish(sent)
        probe.send("visible", stamp)
        probe.send("thermal", stamp, with_telemetry(7 * n))
        probe.wait_for_result(stamp)
    wait_until(lambda: len(probe.received["fused"]) == 3, "three fused images")
    fused = probe.received["fused"][-1]
    assert (fused.width, fused.height) == (64, 96)
    wait_until(lambda: probe.received["info"], "camera_info of the fused image")
    info = probe.received["info"][-1]
    assert (info.width, info.height) == (64, 96)
    # x' = 63 - (y - 8), y' = x - 16
    np.testing.assert_allclose(info.k, [90, 0, 31, 0, 100, 54, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(info.p, [90, 0, 31, 0, 0, 100, 54, 0, 0, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(info.d, [-0.1, 0.02, 0.002, -0.001, 0], atol=1e-12)
    wait_until(lambda: len(probe.received["thermal_registered"]) == 3, "registered thermal images")
    turned = cv2.flip(cv2.rotate(scene("thermal"), cv2.ROTATE_90_COUNTERCLOCKWISE), 1)
    expected = cv2.resize(turned, (64, 96), interpolation=cv2.INTER_AREA)
    found = decode_image(probe.received["thermal_registered"][-1])
    assert np.abs(found.astype(int) - expected).mean() < 120, "one count of the scene is 8 here"
    assert found.min() > 29000, "no telemetry in it"
    assert node.stop() == 0
    assert "Traceback" not in node.output


def test_an_image_that_the_crop_does_not_fit_is_named_and_counted(graph):
    node, probe = graph
    for n in range(2):
        stamp = START_NS + n * PERIOD_NS
        probe.send("visible", stamp, scene("visible", 48, 64))
        probe.send("thermal", stamp, with_telemetry(n))
    wait_until(lambda: probe.drops().get("invalid_visible") == 2, "the visible images to be counted")
    assert "/visible/image: an image of 64x48 is too small for the crop [16, 8, 96, 64]" in probe.status.last_error
    assert node.stop() == 0


def test_region_and_binning_of_camera_info_are_in_the_matrix_then():
    info = CameraInfo(width=640, height=480, binning_x=2, binning_y=2, k=[500.0, 0, 320, 0, 500, 240, 0, 0, 1])
    info.roi = RegionOfInterest(x_offset=100, y_offset=50, width=400, height=300)
    framed = framed_info(info, Framing(rotate=180))
    assert image_size(framed) == (framed.width, framed.height) == (200, 150)
    np.testing.assert_allclose(framed.k, [250, 0, 199 - 110, 0, 250, 149 - 95, 0, 0, 1])
    assert framed_info(info, Framing()) is info
    empty = CameraInfo()
    assert framed_info(empty, Framing(crop=(0, 0, 10, 10))) is empty
