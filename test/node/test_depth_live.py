import itertools
import re

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from geometry_msgs.msg import TransformStamped
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from rcl_interfaces.msg import Log
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from vi_fusion_ros.images.encodings import decode_image, fill_image
from vi_fusion_ros.images.point_clouds import INTENSITY_FIELDS, coordinates
from vi_fusion_ros.node.geometry.depth_source import PointClouds
from vi_fusion_ros.node.geometry.transforms import Transforms
from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.rig import Camera, Extrinsics
from vi_fusion_ros.sync.stamp_source import StampSource
from vi_fusion_ros.types import Frame, FramePair

pytestmark = pytest.mark.ros

SIZE = (128, 96)
TOPIC = "/depth/image"


def rig_of(source):
    visible = Camera(np.array([[110.0, 0, 63], [0, 111, 47], [0, 0, 1]]), np.array([-0.05, 0.01, 0, 0, 0]))
    thermal = Camera(np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]), np.array([-0.2, 0.04, 0.001, 0, 0]))
    extrinsics = Extrinsics(np.eye(3), np.array([0.15, 0.01, 0.0]))
    return Rig(np.eye(3), SIZE, SIZE, source, thermal, visible, extrinsics).at(8.0)


def message(depth, stamp_ns, **fields):
    image = fill_image(Image(), depth)
    image.header.frame_id = "visible_optical_frame"
    for name, value in fields.items():
        setattr(image, name, value)
    image.header.stamp = to_time(stamp_ns)
    return image


def test_depth_over_dds_and_what_is_wrong_with_it(model, tmp_path):
    path = tmp_path / "rig.yaml"
    rig = rig_of(str(path))
    rig.save(path)
    domain = next_domain()
    probe = Probe(domain, topics={"thermal_registered": Image})
    probe.listen("/rosout", Log, "log")
    depths = probe.node.create_publisher(Image, "depth/image", QoSProfile(depth=10))
    parameters = {"model": str(model), "rig": str(path), "depth.source": "image", "status_rate": 20.0}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
    stamps = (START_NS + number * 10**9 for number in itertools.count())  # a second apart: no depth serves for two

    def said():
        return probe.status.registration

    def lines():
        messages = [m.msg for m in list(probe.received["log"])]
        return [message for message in messages if message.startswith("registered at the")]

    def registered(depth=None, late_ns=0, **fields):
        """The registered thermal image of a pair that came after a depth image."""
        stamp = next(stamps)
        if depth is not None:
            depths.publish(message(depth, stamp - late_ns, **fields))
        probe.send_pair(stamp)
        probe.wait_for_result(stamp)
        stamp = to_time(stamp)

        def found():
            return [m for m in list(probe.received["thermal_registered"]) if m.header.stamp == stamp]

        wait_until(found, "the registered image")
        return decode_image(found()[0])[1:, 1:]  # the first pixel is never the same twice

    def told(sentence, *depth, **fields):
        """Whether the plane is used and the node says why."""

        def condition():
            np.testing.assert_allclose(registered(*depth, **fields), at_plane, atol=1)
            return sentence in said() and said().startswith(f"{path}, at the plane: ")

        wait_until(condition, sentence)

    at_plane = Registration(rig).apply(scene("thermal"), SIZE)[0][1:, 1:]
    depth = np.full(SIZE[::-1], 2000, np.uint16)
    depth[30:60, 40:70] = 1000
    depth[80:] = 0
    at_depth = Registration(rig).apply_at_depth(scene("thermal"), depth, SIZE)[0][1:, 1:]
    assert np.mean(at_depth != at_plane) > 0.3
    try:
        probe.wait_active()
        wait_until(lambda: depths.get_subscription_count() == 1, "the subscription to depth")
        wait_until(lambda: probe.node.count_subscribers("/fusion_node/thermal_registered"), "the subscription")
        told(f"no depth image on {TOPIC} yet")
        diagnosed = [s for s in probe.received["diagnostics"][-1].status if s.name == "fusion_node: registration"]
        assert (diagnosed[0].level, diagnosed[0].message[:22]) == (b"\1", "registered at the plan")
        # DDS does not order topics among each other: a pair may overtake the depth image that was sent before it.
        for kind in (depth, (depth / 1000).astype(np.float32)):
            wait_until(lambda kind=kind: np.abs(registered(kind).astype(int) - at_depth).max() <= 1, "the use of depth")
        wait_until(lambda: said() == f"{path}, at the distances of {TOPIC}", "the status")
        told("64x48 pixels; expected 128x96, registered to the visible image", depth[::2, ::2].copy())
        told("no distance above 0 anywhere", np.zeros_like(depth))
        told("no distance above 0 anywhere", np.full(SIZE[::-1], np.nan, np.float32))
        told("the depth image is mono8; expected 16UC1", np.ones(SIZE[::-1], np.uint8))
        told("within 0.1 s of the visible one (parameter depth.max_age)", depth, late_ns=12 * PERIOD_NS)
        told(f"the latest depth image on {TOPIC} cannot be read: image step 1 is too small", depth, step=1)
        wait_until(lambda: probe.status.last_error.startswith(f"{TOPIC}: image step"), "the error")
        other = Header(frame_id="depth_frame")  # used, but remarked on
        wait_until(lambda: (registered(depth, header=other) == at_depth).mean() > 0.99, "depth of another frame")
        remark = f"{TOPIC}, whose frame is depth_frame where that of the visible image is visible_optical_frame"
        wait_until(lambda: f", at the distances of {remark}" in said(), "the remark")
        assert probe.set_parameter("depth.max_age", 0.5) == (True, "")
        wait_until(lambda: (registered(depth, 12 * PERIOD_NS) == at_depth).mean() > 0.99, "the older depth image")
        last = f"registered at the distances of {TOPIC}"  # after the changes of before, at the end of a period
        wait_until(lambda: registered(depth) is not None and lines()[-1].startswith(last), "the line of the log")
        seen = lines()
    finally:
        node.stop()
        probe.close()
    assert seen[0].startswith("registered at the plane: no depth image")
    stands_for = sum(int(found[1]) if (found := re.search(r"\((\d+) changes", line)) else 1 for line in seen)
    assert stands_for >= 7 > len(seen)  # each change counts, and not each has a line
    assert "Traceback" not in node.output


def cloud_of(points, stamp_ns=0, frame_id="lidar"):
    """Points (n, 3) as a message."""
    data = np.c_[points, np.zeros(len(points))].astype(np.float32)
    fields = [PointField(name=name, offset=at, datatype=PointField.FLOAT32, count=1) for name, at in INTENSITY_FIELDS]
    cloud = PointCloud2(height=1, width=len(data), fields=fields, point_step=16, row_step=16 * len(data))
    cloud.data.frombytes(data.tobytes())
    cloud.header.stamp, cloud.header.frame_id = to_time(stamp_ns), frame_id
    return cloud


def test_clouds_are_brought_into_the_visible_frame():
    transforms, turn = Transforms(), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    source = PointClouds("/depth/points", StampSource("header"), transforms, lambda _visible: turn)
    visible = Frame(np.zeros((4, 4), np.uint8), 1000, "camera")
    pair, points = FramePair(visible, visible), np.array([[1.0, 2, 3], [4, 5, 6]])
    with pytest.raises(ValueError, match="no point cloud on /depth/points yet"):
        source.added(pair, visible, 0.1)
    source.take(serialize_message(cloud_of(points)), 0, 0)
    with pytest.raises(ValueError, match="no transform from lidar to camera on /tf_static or /tf, which /depth/points"):
        source.added(pair, visible, 0.1)
    stamped = TransformStamped()
    stamped.header.frame_id, stamped.child_frame_id = "camera", "lidar"
    stamped.transform.translation.x = 0.5
    transforms.add([stamped])
    np.testing.assert_allclose(source.added(pair, visible, 0.1).points, [[-2, 1.5, 3], [-5, 4.5, 6]])
    with pytest.raises(ValueError, match=r"within 0\.1 s of the visible one \(parameter depth.max_age\)"):
        source.added(pair, Frame(visible.image, 2 * 10**8, "camera"), 0.1)


def test_a_cloud_over_dds_and_the_thermal_points(model, tmp_path):
    path = tmp_path / "rig.yaml"
    rig = rig_of(str(path))
    rig.save(path)
    domain = next_domain()
    probe = Probe(domain, topics={"thermal_registered": Image, "thermal_points": PointCloud2})
    clouds = probe.node.create_publisher(PointCloud2, "depth/points", QoSProfile(depth=10))
    parameters = {"model": str(model), "rig": str(path), "depth.source": "points", "status_rate": 20.0}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
    stamps = (START_NS + number * 10**9 for number in itertools.count())
    rays = Registration(rig).rays(SIZE, SIZE)
    points = (rays * 2)[::2, ::2].reshape(-1, 3)
    at_depth, mask, _ = Registration(rig).apply_at_depth(scene("thermal"), np.full(SIZE[::-1], 2, np.float32), SIZE)

    def told(sentence, cloud):
        def condition():
            stamp = next(stamps)
            cloud.header.stamp = to_time(stamp)
            clouds.publish(cloud)
            probe.send_pair(stamp)
            probe.wait_for_result(stamp)
            return sentence in probe.status.registration

        wait_until(condition, sentence)

    try:
        probe.wait_active()
        wait_until(lambda: clouds.get_subscription_count() == 1, "the subscription to depth")
        for topic in ("thermal_registered", "thermal_points"):
            wait_until(lambda topic=topic: probe.node.count_subscribers(f"/fusion_node/{topic}"), "the subscription")
        frame_id = "visible_optical_frame"
        told("none of the 1 points lies in the visible image", cloud_of([[0, 0, -1.0]], frame_id=frame_id))
        told("the point cloud has no finite point", cloud_of([[np.nan] * 3], frame_id=frame_id))
        told("the point cloud has no fields x, y and z", PointCloud2(header=cloud_of(points, frame_id=frame_id).header))
        told("no transform from lidar to visible_optical_frame", cloud_of(points))
        probe.received["thermal_points"].clear()
        told(", at the distances of /depth/points", cloud_of(points, frame_id=frame_id))
        wait_until(lambda: probe.received["thermal_points"], "thermal points")
        got = probe.received["thermal_points"][-1]
    finally:
        node.stop()
        probe.close()
    assert got.header.frame_id == frame_id
    seen = np.zeros(SIZE[::-1], np.bool_)
    seen[::2, ::2] = mask[::2, ::2] > 0
    assert (got.width, got.height, [field.name for field in got.fields]) == (
        seen.sum(),
        1,
        ["x", "y", "z", "intensity"],
    )
    np.testing.assert_allclose(coordinates(got), (rays * 2)[seen], atol=1e-4)
    counts = np.frombuffer(got.data, np.float32).reshape(-1, 4)[1:, 3]  # the first pixel is never the same twice
    np.testing.assert_allclose(counts, at_depth[seen][1:], atol=1)
    assert "Traceback" not in node.output
