"""The node fuses by a method of the literature."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import START_NS, NodeProcess, Probe, next_domain, scene, wait_until

from vi_fusion_ros.images.encodings import decode_image

pytestmark = pytest.mark.ros


@pytest.fixture
def probe():
    """Beside a node that takes the maximum."""
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {"fusion.method": "max", "drift.mode": "off"})
    try:
        probe.wait_active()
        yield probe
    finally:
        node.stop()
        probe.close()


def test_pairs_are_fused_without_a_model(probe):
    probe.send_pair(START_NS)
    said = probe.wait_for_result(START_NS)
    assert list(said.labels) == []
    assert list(said.objects) == []
    assert said.illumination == "unknown"
    assert said.model_id == "method-max"
    wait_until(lambda: probe.received["fused"], "the fused image")
    fused = decode_image(probe.received["fused"][0])
    assert fused.shape[:2] == scene("visible").shape[:2]
    wait_until(lambda: probe.status is not None and probe.status.model_id == "method-max", "the status")
    assert probe.status.engine == "method max: pixel maximum"
