"""``~/fused/camera_info``: which CameraInfo belongs to an image."""

import itertools

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, wait_until
from sensor_msgs.msg import CameraInfo

from vi_fusion_ros.node.messages import stamp_ns, to_time

pytestmark = pytest.mark.ros


@pytest.fixture
def probe(model):
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess(
        "vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, "model": str(model), "drift.mode": "off"}
    )
    probe.wait_active()
    probe.listen("fusion_node/fused/camera_info", CameraInfo, "camera_info")
    wait_until(lambda: probe.node.count_subscribers("/visible/camera_info") == 1, "the camera_info subscription")
    wait_until(lambda: probe.node.count_publishers("/fusion_node/fused/camera_info") == 1, "camera_info out")
    yield probe
    node.stop()
    probe.close()


def tell(probe, focal_px, stamp_ns, width=128, height=96):
    message = CameraInfo(width=width, height=height, k=[focal_px, 0, 64, 0, focal_px, 48, 0, 0, 1])
    message.header.stamp = to_time(stamp_ns)
    probe.camera_info["visible"].publish(message)


def of_frame(probe, stamp):
    """The focal lengths in the CameraInfos that came with the fused image of this stamp: one at most."""
    return [m.k[0] for m in list(probe.received["camera_info"]) if stamp_ns(m.header.stamp) == stamp]


def focal_px(probe, stamp):
    """Of the CameraInfo that comes with the fused image of a pair with this stamp."""
    probe.send_pair(stamp)
    wait_until(lambda: of_frame(probe, stamp), "camera_info of the fused image")
    return of_frame(probe, stamp)[0]


def send_until_known(probe, told, stamps, focal):
    """Send pairs and ``told`` CameraInfos until one with this focal length comes back."""

    def known():
        stamp = next(stamps)
        for arguments in told:
            tell(probe, *arguments)
        probe.send_pair(stamp)
        probe.wait_for_result(stamp)
        return any(message.k[0] == focal for message in list(probe.received["camera_info"]))

    wait_until(known, f"a camera_info with the focal length {focal}")


def test_a_fused_image_has_the_camera_info_of_its_own_frame(probe):
    early, late = (START_NS + n * PERIOD_NS for n in (10_000, 10_001))  # a lens that zooms in between
    before = (START_NS + n * PERIOD_NS for n in itertools.count())
    send_until_known(probe, [(100.0, early), (200.0, late)], before, 200.0)  # the latest, where none has the stamp
    assert focal_px(probe, early) == 100.0
    assert focal_px(probe, late) == 200.0


def test_without_one_of_its_own_it_has_the_latest_for_images_of_its_size(probe):
    stamps = [START_NS + n * PERIOD_NS for n in range(10_000)]
    unstamped = (100.0, 0)
    of_other_size = [(300.0, stamp, 640, 480) for stamp in stamps[1000:1100]]  # the driver says so; it may know
    send_until_known(probe, [unstamped], iter(stamps), 100.0)
    send_until_known(probe, [unstamped, *of_other_size], iter(stamps[1000:]), 300.0)
    assert focal_px(probe, stamps[5000]) == 100.0
