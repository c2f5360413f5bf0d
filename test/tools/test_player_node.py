import itertools
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from harness import DEADLINE_S, NodeProcess, next_domain, wait_until
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from vi_fusion_ros.images.compressed import decode_compressed
from vi_fusion_ros.images.encodings import decode_image
from vi_fusion_ros.node.messages import stamp_ns
from vi_fusion_ros.node.process.background_executor import BackgroundExecutor
from vi_fusion_ros.sync.stream_monitor import StreamMonitor, StreamState

pytestmark = pytest.mark.ros
PLAYER = "vi_fusion_ros.tools.player_node"
SMALL = {"width": 64, "height": 48, "visible.rate": 30.0, "thermal.rate": 30.0}


class Audience:
    """Collects what the player publishes, reliably."""

    def __init__(self, domain, compressed=False):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("audience", context=self._context)
        self.visible, self.thermal, self.info, self.truth = [], [], [], []
        everything = QoSProfile(depth=1000)
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        self._node.create_subscription(String, "ground_truth", self.truth.append, everything)
        self._node.create_subscription(CameraInfo, "visible/camera_info", self.info.append, everything)
        self._node.create_subscription(kind, f"visible/image{suffix}", self.visible.append, everything)
        self._node.create_subscription(kind, f"thermal/image{suffix}", self.thermal.append, everything)
        self._spinner = BackgroundExecutor(self._node)

    def stamps(self, camera):
        return np.array([stamp_ns(message.header.stamp) for message in getattr(self, camera)])

    def close(self):
        self._spinner.stop()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def play(tmp_path):
    """Plays with the given parameters to the end; the audience and the report."""
    closing = []

    def _play(parameters, compressed=False, to_the_end=True):
        domain = next_domain()
        audience = Audience(domain, compressed)
        closing.append(audience.close)
        report = tmp_path / "report.json"
        process = NodeProcess(PLAYER, domain, {"report": str(report), "compressed": compressed, **parameters})
        closing.append(process.stop)
        if not to_the_end:
            return audience, process, report
        assert process.process.wait(DEADLINE_S) == 0, process.output
        played = json.loads(report.read_text())
        for camera in ("visible", "thermal"):
            count = played["frames"][camera]
            wait_until(lambda c=camera, n=count: len(getattr(audience, c)) == n, f"all {camera} images")
            assert audience.stamps(camera).tolist() == played["stamps_ns"][camera]
        return audience, played

    yield _play
    for close in reversed(closing):
        close()


def test_every_frame_arrives_with_its_nominal_stamp(play):
    audience, played = play(
        {**SMALL, "duration": 1.0, "visible.rate": 30.0, "thermal.rate": 9.0, "thermal.offset": 0.01}
    )
    assert played["frames"] == {"visible": 30, "thermal": 9}
    visible, thermal = audience.stamps("visible"), audience.stamps("thermal")
    np.testing.assert_allclose(np.diff(visible), 1e9 / 30, atol=2)
    np.testing.assert_allclose(np.diff(thermal), 1e9 / 9, atol=2)
    assert thermal[0] - visible[0] == 10_000_000
    assert audience.visible[0].header.frame_id == "visible_optical_frame"
    assert (audience.visible[0].encoding, audience.thermal[0].encoding) == ("bgr8", "mono8")
    wait_until(lambda: len(audience.info) == 30, "camera_info with each image")
    assert (audience.info[0].width, audience.info[0].height) == (64, 48)
    assert audience.info[0].header == audience.visible[0].header


def test_the_ground_truth_has_the_stamp_of_its_image(play):
    audience, _ = play({**SMALL, "duration": 0.5})
    wait_until(lambda: len(audience.truth) == 15, "fifteen truths")
    truth = json.loads(audience.truth[3].data)
    assert truth["stamp_ns"] == audience.stamps("visible")[3]
    assert truth["illumination"] == "day"
    assert set(truth["labels"]) == {item["label"] for item in truth["objects"]}
    assert "person" in truth["labels"]


@pytest.mark.parametrize(("encoding", "dtype"), [("", np.uint16), ("16UC1", np.uint16), ("32FC1", np.float32)])
def test_16_bit_thermal_is_in_hundredths_of_a_kelvin(play, encoding, dtype):
    audience, _ = play({**SMALL, "duration": 0.2, "thermal_bits": 16, "thermal.encoding": encoding})
    image = decode_image(audience.thermal[0])
    assert image.dtype == dtype
    kelvin = image / 100 if dtype == np.uint16 else image
    assert 260 < kelvin.min() < 275
    assert 300 < kelvin.max() < 335


@pytest.mark.parametrize("encoding", ["rgb8", "bgra8", "rgba8", "mono8"])
def test_visible_encodings_show_the_same_picture(play, encoding):
    audience, _ = play({**SMALL, "duration": 0.1, "visible.encoding": encoding})
    assert audience.visible[0].encoding == encoding
    assert decode_image(audience.visible[0]).shape[:2] == (48, 64)


def test_compressed_images(play):
    audience, _ = play({**SMALL, "duration": 0.2, "thermal_bits": 16}, compressed=True)
    assert decode_compressed(audience.visible[0]).shape == (48, 64, 3)
    assert decode_compressed(audience.thermal[0]).dtype == np.uint16


def test_drops_and_jitter_come_from_the_seed(play):
    parameters = {**SMALL, "duration": 2.0, "visible.drop": 0.3, "thermal.jitter": 0.004, "seed": 7}
    first, played = play(parameters)
    assert played["frames"]["visible"] + played["lost"]["visible"] == 60
    assert 5 < played["lost"]["visible"] < 35
    gaps = np.diff(first.stamps("thermal"))
    assert gaps.min() > 0
    assert gaps.std() > 1e6
    again, _ = play(parameters)
    for camera in ("visible", "thermal"):
        stamps = first.stamps(camera), again.stamps(camera)
        np.testing.assert_allclose(*(s - s[0] for s in stamps), atol=2)


@pytest.mark.parametrize(("restamp", "jumps"), [(True, 0), (False, 1)])
def test_a_loop_goes_on_or_jumps_back(play, restamp, jumps):
    audience, process, _ = play({**SMALL, "duration": 0.5, "loop": True, "restamp": restamp}, to_the_end=False)
    wait_until(lambda: len(audience.visible) >= 25, "more than one round")
    gaps = np.diff(audience.stamps("visible")[:25])
    assert (gaps < 0).sum() == jumps
    if restamp:
        np.testing.assert_allclose(gaps, 1e9 / 30, atol=2)
    assert process.stop() == 0


def write_video(path, frames, rate):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, (64, 48))
    for n in range(frames):
        writer.write(np.full((48, 64, 3), 10 * n, np.uint8))
    writer.release()


def test_videos_play_to_the_shorter_end_and_a_slower_camera_skips(play, tmp_path):
    write_video(tmp_path / "visible.mp4", 20, 20)
    write_video(tmp_path / "thermal.mp4", 15, 20)
    source = {"source": "video", "visible": str(tmp_path / "visible.mp4"), "thermal": str(tmp_path / "thermal.mp4")}
    audience, played = play({**source, "thermal.rate": 10.0, "thermal_bits": 16})
    assert played["frames"] == {"visible": 15, "thermal": 7}
    levels = [int(decode_image(message)[20, 20].mean()) for message in audience.visible]
    np.testing.assert_allclose(levels, [10 * n for n in range(15)], atol=4)
    counts = [int(decode_image(message).mean()) for message in audience.thermal]
    np.testing.assert_allclose(counts, [27315 + 20 * n * 5000 / 255 for n in range(7)], atol=4 * 5000 / 255)


def test_folders_play_with_their_depth(play, tmp_path):
    for camera, image in (
        ("visible", np.zeros((48, 64, 3), np.uint8)),
        ("thermal", np.full((48, 64), 30000, np.uint16)),
    ):
        (tmp_path / camera).mkdir()
        for n in range(5):
            cv2.imwrite(str(tmp_path / camera / f"{n}.png"), image + n)
    source = {"source": "folder", "visible": str(tmp_path / "visible"), "thermal": str(tmp_path / "thermal")}
    audience, played = play(source)
    assert played["frames"] == {"visible": 5, "thermal": 5}
    assert [int(decode_image(message)[0, 0]) for message in audience.thermal] == [30000 + n for n in range(5)]


def test_a_broken_image_is_skipped_and_counted(play, tmp_path):
    for camera in ("visible", "thermal"):
        (tmp_path / camera).mkdir()
        for n in range(5):
            cv2.imwrite(str(tmp_path / camera / f"{n}.png"), np.full((48, 64), 10 * n, np.uint8))
    (tmp_path / "thermal" / "2.png").write_bytes(b"not an image")
    source = {"source": "folder", "visible": str(tmp_path / "visible"), "thermal": str(tmp_path / "thermal")}
    audience, played = play(source)
    assert played["frames"] == {"visible": 5, "thermal": 4}
    assert played["broken"] == {"visible": 0, "thermal": 1}
    assert [int(decode_image(message)[0, 0]) for message in audience.thermal] == [0, 10, 30, 40]


def test_it_stays_at_the_end_where_asked_to(play):
    audience, process, report = play({**SMALL, "duration": 0.2, "exit_at_end": False}, to_the_end=False)
    wait_until(report.exists, "the report")
    wait_until(lambda: len(audience.visible) == 6, "all images")
    assert process.alive
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"source": "dream"}, "source is 'dream'"),
        ({"source": "video"}, "needs the parameter visible"),
        ({"source": "video", "visible": "/no/such.mp4", "thermal": "/no/such.mp4"}, "/no/such.mp4 is missing"),
        ({"source": "folder", "visible": "EMPTY", "thermal": "EMPTY"}, "has no image"),
        ({"thermal_bits": 12}, "thermal_bits is 12"),
        ({"visible.encoding": "bayer_rggb8"}, "visible.encoding is 'bayer_rggb8'"),
        ({"visible.rate": "fast"}, "visible.rate"),
    ],
)
def test_wrong_parameters_are_one_sentence(tmp_path, parameters, sentence):
    (tmp_path / "empty").mkdir()
    parameters = {name: str(tmp_path / "empty") if value == "EMPTY" else value for name, value in parameters.items()}
    arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={json.dumps(value)}")]
    result = subprocess.run(
        [sys.executable, "-m", PLAYER, "--ros-args", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(next_domain())},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_cleanly_with_a_report(play, how):
    audience, process, report = play({**SMALL}, to_the_end=False)
    wait_until(lambda: len(audience.visible) > 5, "some images")
    process.process.send_signal(how)
    assert process.process.wait(DEADLINE_S) == 0, process.output
    assert json.loads(report.read_text())["frames"]["visible"] > 5
    assert "Traceback" not in process.output


def test_faults_come_as_announced(play):
    audience, played = play(
        {**SMALL, "duration": 5.0, "faults": "black,clock_jump,garbage,unplug", "fault_length": 0.5, "seed": 2}
    )
    assert sum(played["lost"].values()) > 0
    assert played["frames"]["visible"] + played["lost"]["visible"] == 150
    images = [*audience.visible, *audience.thermal]
    assert any(len(image.data) and not np.any(image.data) for image in images)
    assert any(image.encoding == "nonsense" for image in images)
    assert any(len(image.data) < image.step * image.height for image in images)
    assert np.ptp(audience.stamps("visible")) > 3590e9


@pytest.mark.parametrize("bits", [8, 16])
def test_a_closed_shutter_is_plain_and_never_twice_the_same(play, bits):
    audience, _ = play(
        {"width": 320, "height": 240, "visible.rate": 20.0, "thermal.rate": 20.0, "duration": 1.5, "faults": "shutter",
         "fault_length": 0.5, "thermal_bits": bits, "seed": 4}
    )  # fmt: skip
    hidden = 0
    for camera in ("visible", "thermal"):
        images = [decode_image(message) for message in getattr(audience, camera)]
        plain = [image for image in images if np.ptp(image) <= 6]
        monitor, states = StreamMonitor(), []
        for number, image in enumerate(images):
            states.append(monitor.update(image, number / 20))
        assert states.count(StreamState.SHUTTERED) == len(plain)
        assert all(not np.array_equal(one, two) for one, two in itertools.pairwise(plain))
        assert len(plain) < len(images)
        hidden += len(plain)
    assert hidden >= 5


def test_a_thermal_camera_that_looks_aside_sees_a_part(play):
    whole, _ = play({**SMALL, "duration": 0.2})
    aside, _ = play({**SMALL, "duration": 0.2, "registered": False})
    for one, two in zip(whole.thermal, aside.thermal, strict=True):
        np.testing.assert_array_equal(decode_image(two), decode_image(one)[3:43, 2:52])
    assert all(info.width == 50 for info in aside.info if info.header.frame_id.startswith("thermal"))
    for one, two in zip(whole.visible, aside.visible, strict=True):
        np.testing.assert_array_equal(decode_image(two), decode_image(one))


def test_one_camera_of_two():
    domain = next_domain()
    audience = Audience(domain)
    process = NodeProcess(PLAYER, domain, {**SMALL, "cameras": "thermal", "duration": 0.5})
    try:
        assert process.process.wait(DEADLINE_S) == 0, process.output
        wait_until(lambda: len(audience.thermal) == 15, "fifteen thermal images")
        assert not audience.visible
    finally:
        process.stop()
        audience.close()
