"""~/thermal_color and the overlay modes, live: in the palette that is set, and changed at run time."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from sensor_msgs.msg import CameraInfo, Image

from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.node.messages import to_time

pytestmark = pytest.mark.ros


def test_the_palette_and_the_overlay_mode_apply_at_once(model):
    domain = next_domain()
    topics = {"thermal_color/image": Image, "thermal_color/camera_info": CameraInfo, "overlay/image": Image}
    probe = Probe(domain, topics=topics)
    settings = {"status_rate": 20.0, "model": str(model), "thermal.radiometry": "tlinear_0.01", "drift.mode": "off"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        probe.wait_active()
        wait_until(lambda: probe.node.count_subscribers("/visible/camera_info") == 1, "the camera_info subscription")
        wait_until(
            lambda: all(probe.node.count_publishers(f"/fusion_node/{topic}") for topic in topics), "every output topic"
        )
        info = CameraInfo(width=128, height=96, k=[100.0, 0, 64, 0, 100, 48, 0, 0, 1])
        sent = 0

        def pictures():
            nonlocal sent
            for messages in probe.received.values():
                messages.clear()

            def came():
                nonlocal sent
                sent += 1
                stamp = START_NS + sent * PERIOD_NS
                info.header.stamp = to_time(stamp)
                probe.camera_info["visible"].publish(info)
                probe.send_pair(stamp)
                probe.wait_for_result(stamp)
                return all(probe.received[topic] for topic in topics)

            wait_until(came, "a picture on each topic")
            return [decode_image(probe.received[topic][-1]) for topic in ("thermal_color/image", "overlay/image")]

        white, labels = pictures()
        assert white.shape == labels.shape == (96, 128, 3)
        assert (white[..., 0] == white[..., 2]).all()  # grey
        assert probe.received["thermal_color/image"][-1].header.frame_id == "visible_optical_frame"
        assert list(probe.received["thermal_color/camera_info"][-1].k) == list(info.k)
        assert probe.set_parameter("output.thermal_palette", "ironbow") == (True, "")
        assert probe.set_parameter("output.overlay_mode", "edges") == (True, "")
        iron, edges = pictures()
        assert (iron[..., 0] != iron[..., 2]).any()
        assert np.abs(edges.astype(int) - labels).mean() > 5
        assert probe.set_parameter("output.overlay_mode", "inset") == (True, "")
        _, inset = pictures()
        assert np.abs(inset[:30, -40:].astype(int) - labels[:30, -40:]).mean() > 5
        taken, reason = probe.set_parameter("output.thermal_palette", "rainbow")
        assert not taken
        assert "white_hot" in reason
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        node.stop()
        probe.close()
