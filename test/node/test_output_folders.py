"""Each image output has its CameraInfo beside it, where image_transport looks for it, and its older name."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vi_fusion_ros.images.compressed import decode_compressed
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.node.messages import to_time

pytestmark = pytest.mark.ros

OLD = {
    "fused/image": "fused",
    "thermal_registered/image": "thermal_registered",
    "thermal_mask/image": "thermal_mask",
    "temperature/image": "thermal_kelvin",
    "attention/image": "attention",
    "overlay/image": "overlay",
}


def beside(topic):
    """As image_transport's getCameraInfoTopic: camera_info in place of the last part of the name."""
    return "/".join([*topic.split("/")[:-1], "camera_info"])


def test_an_image_transport_style_subscriber_finds_image_and_camera_info():
    domain = next_domain()
    infos = {beside(topic): CameraInfo for topic in OLD}
    packed = {"fused/image/compressed": CompressedImage, "fused/compressed": CompressedImage}
    topics = {**dict.fromkeys(OLD, Image), **dict.fromkeys(OLD.values(), Image), **infos, **packed}
    probe = Probe(domain, topics=topics)
    settings = {"status_rate": 20.0, "thermal.radiometry": "tlinear_0.01", "output.compressed": True}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, settings)
    try:
        probe.wait_active()
        wait_until(lambda: probe.node.count_subscribers("/visible/camera_info") == 1, "the camera_info subscription")
        wait_until(
            lambda: all(probe.node.count_publishers(f"/fusion_node/{topic}") for topic in topics), "every output topic"
        )
        info = CameraInfo(width=128, height=96, k=[100.0, 0, 64, 0, 100, 48, 0, 0, 1])
        sent = 0

        def all_came():
            nonlocal sent
            stamp = START_NS + sent * PERIOD_NS
            info.header.stamp = to_time(stamp)
            probe.camera_info["visible"].publish(info)
            probe.send_pair(stamp)
            probe.wait_for_result(stamp)
            sent += 1
            return all(probe.received[topic] for topic in topics)

        wait_until(all_came, "a message on every topic")
        for topic, old in OLD.items():
            wait_until(lambda t=topic: stamps(probe, t) & stamps(probe, beside(t)), f"{topic} and its camera_info")
            both = {stamp_of(m): m for m in probe.received[topic]}
            same = [m for m in probe.received[old] if stamp_of(m) in both]
            assert same, f"{old} is {topic}"
            for message in same:
                assert message == both[stamp_of(message)]
            assert probe.received[topic][-1].header.frame_id == "visible_optical_frame"
            found = probe.received[beside(topic)][-1]
            assert (found.width, found.height, list(found.k)) == (128, 96, list(info.k))
            assert found.header.frame_id == "visible_optical_frame"
        kelvin = decode_image(probe.received["temperature/image"][-1])
        assert kelvin.dtype == np.float32
        assert 280 < np.nanmean(kelvin) < 320
        for topic in packed:
            assert decode_compressed(probe.received[topic][-1]).shape == (96, 128, 3)
        assert node.stop() == 0
        assert "Traceback" not in node.output
    finally:
        node.stop()
        probe.close()


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def stamps(probe, topic):
    return {stamp_of(message) for message in list(probe.received[topic])}
