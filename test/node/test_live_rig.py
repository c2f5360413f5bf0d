import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import message_packages
from harness import PATIENCE, PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, scene, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.msg import FusionStatus
from vi_fusion_ros.node.geometry.camera_info import lens_of, rectification
from vi_fusion_ros.node.geometry.live_rig import alike
from vi_fusion_ros.node.geometry.transforms import Transforms
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.rig import Camera, Extrinsics
from vi_fusion_ros.types import Frame, FramePair

pytestmark = pytest.mark.ros

SIZE = (128, 96)
FRAMES = {"visible": "visible_optical_frame", "thermal": "thermal_optical_frame"}
K = {"visible": [110.0, 0, 63, 0, 111, 47, 0, 0, 1], "thermal": [100.0, 0, 64, 0, 100, 48, 0, 0, 1]}
D = {"visible": [-0.05, 0.01, 0, 0, 0], "thermal": [-0.2, 0.04, 0.001, 0, 0]}
SHIFT_M, TURN = (0.3, 0.02, -0.01), (0.0, 0.0087265, 0.0, 0.99996192)  # one degree about y


def info(camera, **fields):
    message = CameraInfo(width=SIZE[0], height=SIZE[1], k=K[camera], d=D[camera], distortion_model="plumb_bob")
    message.header.frame_id = FRAMES[camera]
    for field, value in fields.items():
        setattr(message, field, value)
    return message


def stamped(parent, child, shift=(0, 0, 0), turn=(0, 0, 0, 1)):
    numbers = [SimpleNamespace(**dict(zip("xyzw", map(float, value), strict=False))) for value in (shift, turn)]
    transform = SimpleNamespace(translation=numbers[0], rotation=numbers[1])
    return SimpleNamespace(header=SimpleNamespace(frame_id=parent), child_frame_id=child, transform=transform)


def test_transforms_are_chained_up_and_down_a_tree():
    half = np.sqrt(0.5)
    tree = Transforms()
    tree.add([
        stamped("base", "mast", (0, 0, 2)),
        stamped("mast", "/visible", (1, 0, 0), (0, 0, half, half)),  # turned left by a quarter
        stamped("base", "thermal", (1, 3, 2)),
        stamped("thermal", "wrong", (0, 0, 0), (0, 0, 0, 0)),
        stamped("elsewhere", "else", (5, 5, 5)),
    ])  # fmt: skip
    found = tree.between("visible", "thermal")
    np.testing.assert_allclose(found.translation_m, (3, 0, 0), atol=1e-12)
    np.testing.assert_allclose(found.rotation @ (1, 0, 0), (0, -1, 0), atol=1e-12)
    back = tree.between("thermal", "/visible")
    np.testing.assert_allclose(back.rotation @ found.translation_m + back.translation_m, 0, atol=1e-12)
    np.testing.assert_allclose(tree.between("thermal", "thermal").rotation, np.eye(3))
    assert tree.between("visible", "else") is None
    assert tree.between("visible", "wrong") is None
    tree.add([stamped("a", "b"), stamped("b", "a")])
    assert tree.between("a", "visible") is None


def test_region_and_binning_of_camera_info_count():
    message = info("thermal", binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 10, 20, 100, 60
    lens, size = lens_of(message, rectified=False)
    assert size == (50, 30)
    np.testing.assert_allclose(lens.matrix, [[50, 0, 27], [0, 50, 14], [0, 0, 1]])


def test_rectified_images_have_the_matrix_p_and_no_distortion():
    message = info("visible", p=[99.0, 0, 60, -9.9, 0, 98, 40, 0, 0, 0, 1, 0], distortion_model="equidistant")
    lens, _ = lens_of(message, rectified=True)
    np.testing.assert_array_equal(lens.matrix, [[99, 0, 60], [0, 98, 40], [0, 0, 1]])
    assert not lens.distortion.any()


def test_a_fisheye_of_camera_info():
    lens, _ = lens_of(info("thermal", distortion_model="equidistant", d=[0.1, 0.02, 0.0, 0.0]), rectified=False)
    assert lens.equidistant
    np.testing.assert_array_equal(lens.distortion, [0.1, 0.02, 0, 0])


def test_rectified_images_are_those_of_a_camera_turned_by_r():
    angle = np.radians(2.0)
    r = [np.cos(angle), 0, -np.sin(angle), 0, 1, 0, np.sin(angle), 0, np.cos(angle)]
    message = info("visible", p=[99.0, 0, 60, 0, 0, 98, 40, 0, 0, 0, 1, 0], r=r)
    np.testing.assert_allclose(rectification(message, rectified=True).ravel(), r)
    np.testing.assert_array_equal(rectification(message, rectified=False), np.eye(3))
    np.testing.assert_array_equal(rectification(info("visible"), rectified=True), np.eye(3))  # zeros: not filled in
    with pytest.raises(ValueError, match="R is no rotation"):
        rectification(info("visible", r=[2.0, 0, 0, 0, 2, 0, 0, 0, 2]), rectified=True)


def test_a_transform_that_moves_by_a_hair_makes_no_new_maps():
    def rig(shift_m=0.3, focal_px=100.0):
        lens = Camera(np.array([[focal_px, 0, 64], [0, focal_px, 48], [0, 0, 1]]), np.zeros(5))
        extrinsics = Extrinsics(np.eye(3), np.array([shift_m, 0, 0]))
        return Rig(np.eye(3), SIZE, SIZE, "test", lens, lens, extrinsics).at(10.0)

    assert alike(rig(), rig())
    assert alike(rig(), rig(shift_m=0.302))  # 0.02 px
    assert not alike(rig(), rig(shift_m=0.305))  # 0.05 px
    assert not alike(rig(), rig(focal_px=100.001))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"k": [0.0] * 9}, "all zeros"),
        ({"k": [-1.0, 0, 5, 0, 5, 5, 0, 0, 1]}, "fx and fy above 0"),
        ({"k": [np.nan] * 9}, "fx and fy above 0"),
        ({"width": 0}, "size of the images"),
        ({"distortion_model": "omni"}, "Rectify the images first"),
        (
            {"distortion_model": "equidistant", "d": [0.1] * 5},
            "expected the 4 of equidistant",
        ),
        ({"d": [0.1, 0.2]}, "2 distortion coefficients"),
    ],
)
def test_camera_info_that_is_no_calibration(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        lens_of(info("thermal", **fields), rectified=False)


@pytest.fixture(scope="module")
def tf2(tmp_path_factory):
    """The environment of processes that need tf2_msgs."""
    return message_packages.environment(tmp_path_factory.mktemp("tf2"), "tf2_msgs", message_packages.TF2)


def test_a_rig_of_camera_info_and_tf(tf2, model, monkeypatch):
    for name, value in tf2.items():
        monkeypatch.setenv(name, value)
    domain = next_domain()
    probe = Probe(domain, topics={"thermal_registered": Image})
    parameters = {"status_rate": 20.0, "model": str(model), "rig": "camera_info", "plane_distance": 6.0}
    processes = [NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)]
    stamps = (START_NS + number * PERIOD_NS for number in itertools.count())

    def tell(condition, what, **infos):
        def told():
            for camera, message in infos.items():
                probe.camera_info[camera].publish(message)
            return condition(probe.status.registration)

        wait_until(told, what)

    try:
        probe.wait_active()
        tell(lambda said: said.startswith("none: no camera_info of the visible camera yet"), "the lack of camera_info")
        stamp = next(stamps)
        probe.send_pair(stamp)
        assert probe.wait_for_result(stamp).mode == FusionStatus.MODE_VISIBLE_ONLY
        wait_until(lambda: probe.drops().get("unregistered") == 1, "the thermal image to be left out")
        blank = info("thermal", k=[0.0] * 9)
        tell(lambda said: "thermal camera: K is all zeros" in said, "zeros", visible=info("visible"), thermal=blank)
        both = {camera: info(camera) for camera in FRAMES}
        tell(lambda said: "no transform from thermal_optical_frame to visible_opt" in said, "the lack of TF", **both)
        messages = [s for s in probe.received["diagnostics"][-1].status if s.name == "fusion_node: registration"]
        assert (messages[0].level, messages[0].message[:16]) == (b"\2", "not registered: ")
        publisher = Path(message_packages.__file__).with_name("static_transform.py")
        numbers = [str(value) for value in (*SHIFT_M, *TURN)]
        processes.append(Process([sys.executable, str(publisher), *FRAMES.values(), *numbers], domain))
        tell(lambda said: said == "camera_info", "the registration")
        stamp = next(stamps)
        probe.received["thermal_registered"].clear()
        wait_until(lambda: probe.node.count_subscribers("/fusion_node/thermal_registered"), "the subscription")

        def registered():
            stamp = next(stamps)
            probe.send_pair(stamp)
            assert probe.wait_for_result(stamp).mode == FusionStatus.MODE_BOTH
            return probe.received["thermal_registered"]

        wait_until(registered, "registered thermal images")
        got = decode_image(probe.received["thermal_registered"][-1])
        np.testing.assert_array_equal(got[1:, 1:], expected(6.0)[1:, 1:])  # the first pixel is never the same
        changed = info("thermal", k=[120.0, 0, 64, 0, 120, 48, 0, 0, 1])
        probe.camera_info["thermal"].publish(changed)
        wait_until(
            lambda: registered() and not np.array_equal(decode_image(registered()[-1])[1:], got[1:]), "the change"
        )
        answer = probe.call(Trigger, "reload_rig", Trigger.Request())
        assert not answer.success
        assert "no rig file" in answer.message

        def fused_as(mode, **infos):
            """Whether a pair that comes after CameraInfos is fused so."""
            for camera, message in infos.items():
                probe.camera_info[camera].publish(message)
            stamp = next(stamps)
            probe.send_pair(stamp)
            return probe.wait_for_result(stamp).mode == mode

        # Of a sensor's other resolution: the same view in fewer pixels fits, another shape has no place for the images.
        half = info("visible", width=64, height=48)
        assert fused_as(FusionStatus.MODE_BOTH, visible=half)
        other = info("visible", width=128, height=128)
        wait_until(lambda: fused_as(FusionStatus.MODE_VISIBLE_ONLY, visible=other), "the thermal image to be left out")
        refusal = "none: visible image of 128x96 does not fit the rig camera_info; expected 128x128 or the same aspect"
        wait_until(lambda: probe.status.registration == refusal, "the sentence")
        wait_until(lambda: fused_as(FusionStatus.MODE_BOTH, visible=info("visible")), "the right resolution again")
        assert "failed" not in probe.drops()
    finally:
        for process in reversed(processes):
            process.stop()
        probe.close()


class Graph:
    """A fusion node with ``rig: camera_info`` that prints when it computes maps, the transform, and a probe."""

    def __init__(self, model, remaps=()):
        domain, support = next_domain(), Path(message_packages.__file__).parent
        self.probe = Probe(domain, topics={"thermal_registered": Image})
        parameters = {**PATIENCE, "status_rate": 20.0, "model": model, "rig": "camera_info", "drift.mode": "'off'"}
        overrides = itertools.chain.from_iterable(("-p", f"{name}:={value}") for name, value in parameters.items())
        renamed = itertools.chain.from_iterable(("-r", remap) for remap in remaps)
        script, numbers = str(support / "fusion_node_with_warp_log.py"), [str(value) for value in (*SHIFT_M, *TURN)]
        self._node = Process([sys.executable, script, "--ros-args", *overrides, *renamed], domain)
        self._transform = Process(
            [sys.executable, str(support / "static_transform.py"), *FRAMES.values(), *numbers], domain
        )
        self._stamps = (START_NS + number * PERIOD_NS for number in itertools.count())

    def maps(self):
        """Where the maps were computed: ``executor`` or the number of a thread, once for each time."""
        lines = self._node.output.splitlines()
        return [line.split()[-1] for line in lines if line.startswith("maps of camera_info")]

    def fusing(self):
        """The numbers of the threads that pairs were fused on."""
        return {line.split()[-1] for line in self._node.output.splitlines() if line.startswith("pair fused on")}

    def fused_from_both(self):
        stamp = next(self._stamps)
        self.probe.send_pair(stamp)
        return self.probe.wait_for_result(stamp).mode == FusionStatus.MODE_BOTH

    def use(self, visible, thermal, rigs=1):
        """Tell the node CameraInfos until so many rigs are known; then a pair has been fused with the latest."""

        def known():
            self.probe.camera_info["visible"].publish(visible)
            self.probe.camera_info["thermal"].publish(thermal)
            return self.fused_from_both() and len(self.maps()) >= rigs

        wait_until(known, "the rig of camera_info")
        assert self.fused_from_both()

    def close(self):
        self._transform.stop()
        self._node.stop()
        self.probe.close()


@pytest.fixture
def start(tf2, model, monkeypatch):
    """Starts graphs; closed after the test."""
    for name, value in tf2.items():
        monkeypatch.setenv(name, value)
    graphs = []

    def _start(remaps=()):
        graphs.append(Graph(model, remaps))
        return graphs[-1]

    yield _start
    for graph in graphs:
        graph.close()


def test_the_maps_are_computed_once_and_neither_where_images_are_taken_nor_where_they_are_fused(start):
    graph = start()
    graph.probe.wait_active()
    graph.use(info("visible"), info("thermal"))
    graph.use(info("visible"), info("thermal", k=[120.0, 0, 64, 0, 120, 48, 0, 0, 1]), rigs=2)
    assert len(graph.maps()) == 2
    assert not {"executor", *graph.fusing()} & set(graph.maps())


def test_rectified_images_of_a_stereo_camera_are_registered_by_p_and_r(start):
    graph = start(["visible/image:=visible/image_rect"])
    graph.probe.cameras["visible"] = graph.probe.node.create_publisher(Image, "visible/image_rect", 100)
    graph.probe.wait_active()
    angle = np.radians(3.0)
    r = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    p = np.array([[105.0, 0, 60, 0], [0, 105, 45, 0], [0, 0, 1, 0]])
    graph.use(info("visible", p=p.ravel(), r=r.ravel()), info("thermal"))
    wait_until(lambda: graph.fused_from_both() and graph.probe.received["thermal_registered"], "registered images")
    got = decode_image(graph.probe.received["thermal_registered"][-1])
    visible, thermal = (
        Camera(matrix, np.zeros(5) if straight else np.array(D["thermal"]))
        for matrix, straight in ((p[:, :3], True), (np.array(K["thermal"]).reshape(3, 3), False))
    )
    extrinsics = Extrinsics(r @ rotation(), r @ np.array(SHIFT_M))
    rig = Rig(np.eye(3), SIZE, SIZE, "truth", thermal, visible, extrinsics).at(10.0)
    np.testing.assert_array_equal(got[1:, 1:], Registration(rig).apply(scene("thermal"), SIZE)[0][1:, 1:])


def rotation():
    """Of the transform, (3, 3)."""
    axis = np.array(TURN[:3])
    return cv2.Rodrigues(axis / np.linalg.norm(axis) * 2 * np.arctan2(np.linalg.norm(axis), TURN[3]))[0]


def truth(distance_m):
    """The rig of the numbers above."""
    lenses = [Camera(np.array(K[camera]).reshape(3, 3), np.array(D[camera])) for camera in ("thermal", "visible")]
    return Rig(np.eye(3), SIZE, SIZE, "truth", *lenses, Extrinsics(rotation(), np.array(SHIFT_M))).at(distance_m)


def expected(distance_m):
    """The thermal scene in the visible frame."""
    return Registration(truth(distance_m)).apply(scene("thermal"), SIZE)[0]


def test_evaluation_node_fuses_with_the_rig_of_camera_info_and_tf(tf2, model, monkeypatch, tmp_path):
    for name, value in tf2.items():
        monkeypatch.setenv(name, value)
    domain, result = next_domain(), tmp_path / "live.json"
    probe = Probe(domain)
    probe.listen("evaluation_node/statistics", String, "statistics")
    parameters = {"model": str(model), "json": str(result), "rig": "camera_info", "plane_distance": 6.0}
    processes = [NodeProcess("vi_fusion_ros.tools.evaluation_node", domain, parameters)]
    publisher = Path(message_packages.__file__).with_name("static_transform.py")
    numbers = [str(value) for value in (*SHIFT_M, *TURN)]
    stamps = [START_NS + number * PERIOD_NS for number in range(3)]

    def evaluated():
        for camera in FRAMES:
            probe.camera_info[camera].publish(info(camera))
        told = probe.received["statistics"]
        return bool(told) and json.loads(told[-1].data)["n"]

    try:
        for publishers in (probe.cameras, probe.camera_info):
            wait_until(lambda ps=publishers: all(p.get_subscription_count() for p in ps.values()), "the node to hear")
        for stamp in stamps[:2]:  # they wait for a rig
            for camera in FRAMES:
                probe.send(camera, stamp, scene(camera))
        processes.append(Process([sys.executable, str(publisher), *FRAMES.values(), *numbers], domain))
        wait_until(evaluated, "pairs that waited for the rig")
        for camera in FRAMES:
            probe.send(camera, stamps[2], scene(camera))
        wait_until(lambda: evaluated() == 3, "all pairs")
        assert processes[0].stop() == 0
    finally:
        for process in reversed(processes):
            process.stop()
        probe.close()
    live = json.loads(result.read_text())
    assert (live["rig"], live["n"], live["partial"]) == ("camera_info", 3, False)
    pair = FramePair(Frame(scene("visible"), stamps[0]), Frame(scene("thermal"), stamps[0]))
    with_rig, without = (
        build_pipeline(load_engine(model, 1), rig).process(pair).thermal_attention for rig in (truth(6.0), None)
    )
    assert live["timeline"]["thermal_attention"][0] == pytest.approx(with_rig, abs=1e-6)
    assert with_rig != pytest.approx(without, abs=1e-4)


def test_evaluation_node_without_a_rig_says_what_is_missing(tf2, model, monkeypatch):
    for name, value in tf2.items():
        monkeypatch.setenv(name, value)
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess("vi_fusion_ros.tools.evaluation_node", domain, {"model": str(model), "rig": "camera_info"})
    try:
        wait_until(lambda: "no camera_info of the visible camera yet" in node.output, "the warning")
        assert node.stop() == 2
        assert "evaluation_node: no rig of camera_info: no camera_info of the visible camera yet" in node.output
    finally:
        node.stop()
        probe.close()


def test_without_tf2_msgs_the_node_says_so(model):
    try:
        import tf2_msgs  # noqa: F401

        pytest.skip("tf2_msgs is installed")
    except ImportError:
        pass
    domain = next_domain()
    probe = Probe(domain)
    node = NodeProcess(
        "vi_fusion_ros.node.fusion_node", domain, {"status_rate": 20.0, "model": str(model), "rig": "camera_info"}
    )
    try:
        wait_until(
            lambda: probe.status is not None and "needs the package tf2_msgs" in probe.status.engine_reason, "the fault"
        )
    finally:
        node.stop()
        probe.close()
