import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vi_fusion_ros.images.compressed import decode_compressed, fill_compressed
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.node.messages import stamp_ns, to_time
from vi_fusion_ros.types import Mode

pytestmark = pytest.mark.ros

NODE = "vi_fusion_ros.node.fusion_node"

FAST_STATUS = {"status_rate": 20.0}


@pytest.fixture
def start():
    """Starts a fusion node with parameters and a probe beside it; both are stopped after the test."""
    started = []

    def _start(parameters=None, active=True, **probe_options):
        domain = next_domain()
        probe = Probe(domain, **probe_options)
        started.append(probe.close)
        node = NodeProcess(NODE, domain, {**FAST_STATUS, **(parameters or {})})
        started.append(node.stop)
        if active:
            probe.wait_active()
        return node, probe

    yield _start
    for stop in reversed(started):
        stop()


def test_a_pair_becomes_a_fused_image_and_a_classification(start):
    node, probe = start(topics={"thermal_registered": Image, "attention": Image, "overlay": Image})
    wait_until(lambda: probe.node.count_subscribers("/visible/camera_info") == 1, "the camera_info subscription")
    info = CameraInfo(width=128, height=96, k=[100.0, 0, 64, 0, 100, 48, 0, 0, 1])
    probe.listen("fusion_node/fused/camera_info", CameraInfo, "camera_info")
    wait_until(lambda: probe.node.count_publishers("/fusion_node/fused/camera_info") == 1, "camera_info out")
    for n in range(5):
        probe.camera_info["visible"].publish(info)
        probe.send_pair(START_NS + n * PERIOD_NS, skew_ns=3_000_000)
        probe.wait_for_result(START_NS + n * PERIOD_NS)

    message = probe.received["classification"][-1]
    assert message.header.frame_id == "visible_optical_frame"
    assert stamp_ns(message.thermal_stamp) == stamp_ns(message.header.stamp) + 3_000_000
    assert message.pair_skew == pytest.approx(0.003)
    assert message.mode == Mode.BOTH
    assert message.model_id
    assert message.labels
    assert all(0 <= score.probability <= 1 for score in message.labels)
    assert message.visible_attention + message.thermal_attention == pytest.approx(1, abs=1e-6)
    assert message.overlap == 1

    wait_until(lambda: len(probe.received["fused"]) == 5, "five fused images")
    fused = probe.received["fused"][-1]
    assert (fused.header.stamp, fused.header.frame_id) == (message.header.stamp, "visible_optical_frame")
    assert (fused.encoding, fused.width, fused.height) == ("bgr8", 128, 96)
    wait_until(lambda: probe.received["thermal_registered"], "the registered thermal image")
    registered = decode_image(probe.received["thermal_registered"][-1])
    np.testing.assert_array_equal(registered[1:], scene("thermal")[1:])
    wait_until(lambda: probe.received["attention"] and probe.received["overlay"], "debug images")
    assert probe.received["attention"][-1].encoding == "mono8"
    wait_until(lambda: probe.received["camera_info"], "camera_info of the fused image")
    camera_info = probe.received["camera_info"][-1]
    assert list(camera_info.k) == list(info.k)
    assert camera_info.header.frame_id == "visible_optical_frame"

    wait_until(lambda: probe.status.published == 5, "the status to count five")
    status = probe.status
    assert (status.pairs, status.visible_received, status.thermal_received, status.errors) == (5, 5, 5, 0)
    assert status.engine_state == "ready"
    assert status.registration == "identity"
    latency = dict(zip(status.latency_stages, status.latency_p50, strict=True))
    assert 0 < latency["infer"] < latency["total"]
    assert node.stop() == 0
    assert "Traceback" not in node.output


def place(image, row, column, value):
    """A place of 8x8 pixels of the tiny model's map."""
    image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = value
    return image


def test_objects_arrive_with_their_boxes_and_temperatures(start, object_model):
    topics = {"overlay": Image}
    node, probe = start({"model": str(object_model), "thermal.radiometry": "tlinear_0.01"}, topics=topics)
    sides = pytest.importorskip("tiny_model").SIDES
    visible = place(np.zeros((96, 128, 3), np.uint8), 5, 6, 255)
    thermal = place(np.full((96, 128), 29000, np.uint16), 3, 10, 31000)
    probe.send("visible", START_NS, visible)
    probe.send("thermal", START_NS, thermal)
    bright, warm = sorted(probe.wait_for_result(START_NS).objects, key=lambda found: found.label)
    for found, (label, row, column) in ((bright, ("bright", 5, 6)), (warm, ("warm", 3, 10))):
        left, up, right, down = sides[label]
        box = (8 * column + 4 - left, 8 * row + 4 - up, left + right, up + down)
        assert (found.label, found.x, found.y, found.width, found.height) == (label, *box)
        assert 0.9 < found.probability <= 1
    assert (bright.mean_temperature, bright.max_temperature) == (290, 290)
    assert warm.max_temperature == 310
    assert 290 < warm.mean_temperature < 310
    wait_until(lambda: probe.received["overlay"], "the overlay")
    drawn = decode_image(probe.received["overlay"][-1])
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10, "boxes and names are on it"
    # Too faint for the model, but hotter than the rest: listed from the next pair on.
    assert probe.set_parameter("output.hot_regions", True) == (True, "")
    thermal[60:68, 20:28] = 29700
    probe.send("visible", START_NS + PERIOD_NS, visible)
    probe.send("thermal", START_NS + PERIOD_NS, thermal)
    *found, hot = probe.wait_for_result(START_NS + PERIOD_NS).objects
    assert sorted(one.label for one in found) == ["bright", "warm"]
    assert (hot.label, hot.x, hot.y, hot.width, hot.height) == ("hot_region", 20, 60, 8, 8)
    assert np.isnan(hot.probability)
    assert hot.max_temperature == 297
    assert node.stop() == 0
    assert "Traceback" not in node.output


@pytest.mark.parametrize(("camera", "label"), [("visible", "bright"), ("thermal", "warm")])
def test_objects_of_one_camera_alone(start, object_model, camera, label):
    """Without a radiometry the temperature is not a number, which the wire carries."""
    _, probe = start({"model": str(object_model), "single_camera_timeout": 0.2})
    dark = np.zeros((96, 128, 3), np.uint8) if camera == "visible" else np.full((96, 128), 20, np.uint8)
    sent = itertools.count()

    def found():
        n = next(sent)
        image = place(dark.copy(), 5, 6, 255)
        image[0, 0] = n % 20  # no frozen stream
        probe.send(camera, START_NS + n * PERIOD_NS, image)
        return probe.received["classification"]

    wait_until(found, "a result from one camera alone")
    (only,) = probe.received["classification"][-1].objects
    assert only.label == label
    assert np.isnan([only.mean_temperature, only.max_temperature]).all()


BROKEN = {
    "truncated data": ({"data": b"\0" * 100}, "truncated: 100 bytes"),
    "no data": ({"data": b""}, "truncated: 0 bytes"),
    "wrong step": ({"step": 5}, "step 5 is too small"),
    "unknown encoding": ({"encoding": "nonsense"}, "'nonsense'"),
    "zero size": ({"width": 0}, "zero size"),
}


def test_broken_images_are_counted_in_one_sentence_and_the_node_goes_on(start):
    node, probe = start()
    stamp, errors = START_NS, 0
    for camera in ("visible", "thermal"):
        for fields, sentence in BROKEN.values():
            stamp += PERIOD_NS
            errors += 1
            probe.send(camera, stamp, **fields)
            wait_until(lambda: probe.status.errors == errors, f"error {errors} to be counted")  # noqa: B023
            assert probe.status.last_error.startswith(f"/{camera}/image: ")
            assert sentence in probe.status.last_error
            stamp += PERIOD_NS
            probe.send_pair(stamp)
            probe.wait_for_result(stamp)
        assert probe.drops()[f"invalid_{camera}"] == len(BROKEN)
    assert node.alive


def test_nan_in_a_float_image(start):
    _, probe = start()
    image = scene("thermal").astype(np.float32) / 100
    image[::2, ::3] = np.nan
    probe.send("visible", START_NS)
    probe.send("thermal", START_NS, image)
    probe.wait_for_result(START_NS)
    assert probe.received["classification"][-1].mode == Mode.BOTH

    probe.send("visible", START_NS + PERIOD_NS)
    probe.send("thermal", START_NS + PERIOD_NS, np.full_like(image, np.nan))
    wait_until(lambda: probe.status.errors == 1, "an image of NaN alone to be an error")
    probe.send_pair(START_NS + 2 * PERIOD_NS)
    probe.wait_for_result(START_NS + 2 * PERIOD_NS)


def test_compressed_streams_and_garbage_in_them(start):
    _, probe = start(
        {"visible.compressed": True, "thermal.compressed": True, "output.compressed": True}, compressed=True
    )
    probe.listen("fusion_node/fused/compressed", CompressedImage, "fused_compressed")
    wait_until(lambda: probe.node.count_publishers("/fusion_node/fused/compressed") == 1, "the compressed topic")

    def send(n, garbage=False):
        for camera in ("visible", "thermal"):
            message = fill_compressed(CompressedImage(), scene(camera))
            message.header.stamp = to_time(START_NS + n * PERIOD_NS)
            if garbage and camera == "thermal":
                message.data = b"garbage"
            probe.cameras[camera].publish(message)

    send(0)
    probe.wait_for_result(START_NS)
    send(1, garbage=True)
    # The good half of the pair is not lost: the result is made from it alone.
    assert probe.wait_for_result(START_NS + PERIOD_NS).mode == Mode.VISIBLE_ONLY
    wait_until(lambda: probe.status.errors == 1, "the garbage to be counted")
    assert probe.drops()["invalid_thermal"] == 1
    send(2)
    assert probe.wait_for_result(START_NS + 2 * PERIOD_NS).mode == Mode.BOTH
    wait_until(lambda: probe.received["fused_compressed"], "a compressed fused image")
    assert decode_compressed(probe.received["fused_compressed"][-1]).shape == (96, 128, 3)


def test_a_jpeg_that_has_lost_depth_is_used_with_one_warning(start):
    node, probe = start({"visible.compressed": True, "thermal.compressed": True}, compressed=True)
    lost = "/thermal/image/compressed: compressed format '16UC1; jpeg compressed mono8' has kept 8 of the 16 bits"
    for n in range(3):
        for camera in ("visible", "thermal"):
            image = scene("visible")
            message = fill_compressed(CompressedImage(), image if camera == "visible" else image[..., 0])
            if camera == "thermal":
                message.format = "16UC1; jpeg compressed mono8"
            message.header.stamp = to_time(START_NS + n * PERIOD_NS)
            probe.cameras[camera].publish(message)
        assert probe.wait_for_result(START_NS + n * PERIOD_NS).mode == Mode.BOTH
    assert node.output.count(lost) == 1
    assert node.output.count("has kept") == 1
    assert probe.status.errors == 0


def test_thermal_images_in_colour_are_taken_with_one_warning(start):
    node, probe = start()
    for n in range(3):
        stamp, image = START_NS + n * PERIOD_NS, scene("visible")
        image[0, 0] = n
        probe.send("visible", stamp)
        probe.send("thermal", stamp, image, encoding="rgb8")
        assert probe.wait_for_result(stamp).mode == Mode.BOTH
    said = "/thermal/image: thermal images in colour are taken as grey"
    assert node.output.count(said) == node.output.count("in colour") == 1
    assert probe.status.errors == 0


@pytest.mark.parametrize(("silent", "mode"), [("thermal", Mode.VISIBLE_ONLY), ("visible", Mode.THERMAL_ONLY)])
def test_a_stream_that_stops_degrades_and_its_return_restores(start, silent, mode):
    _, probe = start({"single_camera_timeout": 0.3})
    other = "visible" if silent == "thermal" else "thermal"
    stamp = START_NS
    probe.send_pair(stamp)
    assert probe.wait_for_result(stamp).mode == Mode.BOTH

    def latest_mode():
        nonlocal stamp
        stamp += PERIOD_NS
        probe.send(other, stamp)
        return probe.received["classification"][-1].mode

    wait_until(lambda: latest_mode() == mode, "results from one camera alone")
    assert probe.received["classification"][-1].header.frame_id == f"{other}_optical_frame"
    wait_until(lambda: probe.status.mode == mode, "the mode in the status")

    def both_again():
        nonlocal stamp
        stamp += PERIOD_NS
        probe.send_pair(stamp)
        return probe.received["classification"][-1].mode == Mode.BOTH

    wait_until(both_again, "results from both cameras again")


def test_time_that_jumps_back_resets_the_pairing(start):
    _, probe = start()
    for _ in range(3):
        for n in range(10):
            probe.send_pair(START_NS + n * PERIOD_NS)
            count = len(probe.received["classification"])
            wait_until(lambda: len(probe.received["classification"]) > count, "a result")  # noqa: B023
    wait_until(lambda: probe.status.published == 30, "thirty results")
    assert probe.status.time_resets == 2
    assert probe.status.pairs == 30


def test_the_delay_in_the_rig_file_brings_late_thermal_stamps_back(start, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text("version: 1\nH_thermal_to_visible: identity\ntime_offset_ms: -200.0\n")
    _, probe = start({"rig": str(rig), "pairing.max_skew": 0.01})
    probe.send("visible", START_NS)
    probe.send("thermal", START_NS + 200_000_000)
    result = probe.wait_for_result(START_NS)
    assert result.mode == Mode.BOTH
    assert result.pair_skew == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("parameter", "content", "sentence"),
    [
        ("model", None, "no_such"),
        ("model", b"garbage", "garbage"),
        ("rig", None, "no_such"),
        ("rig", b"H_thermal_to_visible: [1, 2", "rig"),
    ],
)
def test_a_wrong_file_keeps_the_node_unconfigured_until_it_is_put_right(start, tmp_path, parameter, content, sentence):
    path = tmp_path / ("no_such" if content is None else "garbage") / parameter
    path = path.with_suffix(".onnx" if parameter == "model" else ".yaml")
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    node, probe = start({parameter: str(path)}, active=False)
    wait_until(lambda: probe.received["diagnostics"], "diagnostics")
    wait_until(lambda: probe.received["diagnostics"][-1].status[0].level == b"\x02", "an error in diagnostics")
    message = probe.received["diagnostics"][-1].status[0].message
    assert sentence in message
    assert "\n" not in message
    assert probe.state() == "unconfigured"
    assert not probe.change_state(Transition.TRANSITION_CONFIGURE)
    assert probe.set_parameter(parameter, "") == (True, "")
    assert probe.change_state(Transition.TRANSITION_CONFIGURE)
    assert probe.change_state(Transition.TRANSITION_ACTIVATE)
    probe.wait_active()
    probe.send_pair(START_NS)
    probe.wait_for_result(START_NS)
    assert "Traceback" not in node.output


def test_lifecycle_round_trips_and_impossible_transitions(start):
    node, probe = start({"autostart": False}, active=False)
    wait_until(lambda: probe.status, "the status of an unconfigured node")
    assert (probe.status.state, probe.status.engine_state) == ("unconfigured", "unloaded")
    stamp = START_NS
    for _ in range(3):
        assert probe.change_state(Transition.TRANSITION_CONFIGURE)
        for _ in range(2):
            assert probe.change_state(Transition.TRANSITION_ACTIVATE)
            probe.wait_active()
            stamp += PERIOD_NS
            probe.send_pair(stamp)
            probe.wait_for_result(stamp)
            assert probe.change_state(Transition.TRANSITION_DEACTIVATE)
            wait_until(lambda: not probe.camera_connected("visible"), "the subscriptions to go")
        assert probe.change_state(Transition.TRANSITION_CLEANUP)
        wait_until(lambda: probe.node.count_publishers("/fusion_node/fused") == 0, "the outputs to go")
    assert not probe.change_state(Transition.TRANSITION_ACTIVATE)
    assert probe.state() == "unconfigured"
    assert probe.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert probe.state() == "finalized"
    assert node.alive
    assert node.stop() == 0


def test_parameters_change_all_or_nothing(start):
    _, probe = start()
    assert probe.set_parameter("queue_depth", 3) == (True, "")
    assert probe.get_parameter("queue_depth") == 3
    taken, reason = probe.set_parameter("queue_depth", 0)
    assert not taken
    assert probe.get_parameter("queue_depth") == 3
    taken, reason = probe.set_parameter("threads", 4)
    assert not taken
    assert "deactivate and clean it up first" in reason
    taken, reason = probe.set_parameter("autostart", False)
    assert not taken
    taken, reason = probe.set_parameter("pairing.policy", "hopeful")
    assert not taken
    assert "expected one of nearest, approximate, exact" in reason


def test_a_parameter_file_with_wrong_values_falls_back_to_defaults(start):
    node, probe = start({"pairing.policy": "hopeful", "queue_depth": 99, "thermal.range": "wide"})
    assert probe.get_parameter("pairing.policy") == "nearest"
    assert probe.get_parameter("queue_depth") == 2
    for name in ("pairing.policy", "queue_depth", "thermal.range"):
        assert f"parameter {name}" in node.output
    probe.send_pair(START_NS)
    probe.wait_for_result(START_NS)


def test_incompatible_qos_is_named(start):
    parameters = {"qos_overrides./visible/image.subscription.reliability": "reliable"}
    _, probe = start(parameters)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    probe.node.create_publisher(Image, "visible/image", best_effort)
    wait_until(lambda: probe.status.last_error, "the incompatibility to be reported")
    assert probe.status.last_error.startswith("/visible/image: a publisher's QoS is incompatible in RELIABILITY")
