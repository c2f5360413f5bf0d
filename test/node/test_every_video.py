"""Every codec of both transports of video through a fusion node over DDS and a bag; makes a table of encodings.md."""

import itertools
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import document_table
import encoded_images
import message_packages
import video_packets
from harness import PERIOD_NS, START_NS, NodeProcess, Probe, Process, next_domain, wait_until
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vi_fusion_ros import cli
from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.image_codecs import stream_codecs
from vi_fusion_ros.images.video import FFMPEG, FOXGLOVE
from vi_fusion_ros.node.messages import to_time

pytestmark = pytest.mark.ros

CAMERAS = Path(message_packages.__file__).with_name("video_cameras.py")
TRANSPORTS = {  # type, definition of the messages, what serialises them, what each codec is called
    "ffmpeg": (FFMPEG, message_packages.FFMPEG, video_packets.ffmpeg,
               ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx-vp8")),
    "foxglove": (FOXGLOVE, message_packages.FOXGLOVE, video_packets.foxglove,
                 ("h264", "h265", "av1", "vp9", "vp8")),
}  # fmt: skip
CODECS = {"H.264": "libx264", "H.265": "libx265", "AV1": "libsvtav1", "VP9": "libvpx-vp9", "VP8": "libvpx"}
GREY = "H.265"  # the one that has grey pictures
HEAD = """| transport | codec | becomes | node | evaluate bag |
|---|---|---|---|---|
"""
WITHIN = {"colour": 14, "grey": 2}  # half of the colours are not sent


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    # A generator of its own: else the image, and with it the loss, depends on the tests that ran before.
    colour = cv2.GaussianBlur(encoded_images.colour(np.random.default_rng(15)), (0, 0), 6)
    return {"visible": colour, "thermal": np.ascontiguousarray(colour[::-1, :, 1])}


@pytest.fixture(scope="module")
def packets(truth) -> dict[str, dict[str, bytes]]:
    """By the codec of the visible camera and by camera, one packet that needs no other."""
    grey = video_packets.picture(truth["thermal"], CODECS[GREY])
    return {
        name: {"visible": video_packets.picture(truth["visible"], codec), "thermal": grey}
        for name, codec in CODECS.items()
    }


def differences(truth, images: dict[str, np.ndarray]) -> dict[str, int]:
    for camera, image in images.items():
        assert (image.shape, image.dtype) == (truth[camera].shape, truth[camera].dtype), camera
    return {camera: int(np.abs(image.astype(int) - truth[camera]).max()) for camera, image in images.items()}


def called(transport: str, codec: str) -> str:
    return TRANSPORTS[transport][3][list(CODECS).index(codec)]


def by_node(transport, packets, truth, model, folder) -> dict[str, dict[str, int]]:
    """The differences to the truth by codec and camera, after the node has received, decoded and paired each."""
    package, _, name = TRANSPORTS[transport][0].split("/")
    given = {
        codec: {
            "visible": (called(transport, codec), pair["visible"].hex()),
            "thermal": (called(transport, GREY), pair["thermal"].hex()),
        }
        for codec, pair in packets.items()
    }
    file = folder / "packets.json"
    file.write_text(json.dumps({"transport": transport, "package": package, "name": name, "packets": given}))
    settings = {f"{camera}.image_transport": transport for camera in truth}
    more = {"status_rate": 20.0, "capture.folder": str(folder / "captures"), "health.fault_time": 0.0}
    domain = next_domain()
    probe = Probe(domain)
    trigger = probe.node.create_publisher(Header, "trigger", 10)
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, {**settings, **more, "model": str(model)})
    cameras = Process([sys.executable, str(CAMERAS), str(file)], domain)
    try:
        wait_until(lambda: probe.status is not None and probe.status.state == "active", "the node")
        wait_until(trigger.get_subscription_count, "the cameras")
        for camera in truth:
            topic = f"/{camera}/image/{transport}"
            wait_until(lambda t=topic: probe.node.count_publishers(t) and probe.node.count_subscribers(t), topic)
        found, stamps = {}, itertools.count(START_NS, PERIOD_NS)
        for codec in packets:
            probe.send_until_result(
                lambda stamp, case=codec: trigger.publish(Header(stamp=to_time(stamp), frame_id=case)), stamps
            )
            answer = probe.call(Trigger, "capture", Trigger.Request())
            captured = Path(answer.message.removeprefix("captured "))
            images = {
                camera: cv2.imread(str(next(captured.glob(f"{camera}.*"))), cv2.IMREAD_UNCHANGED) for camera in truth
            }
            found[codec] = differences(truth, images)
        assert node.stop() == 0
        assert "Traceback" not in node.output
        return found
    finally:
        for process in (cameras, node):
            process.stop()
        probe.close()


def by_bag(transport, packets, truth, model, folder) -> dict[str, dict[str, int]]:
    """The same from a bag, by the way of ``vi-fusion evaluate bag``, which is run too."""
    kind, definitions, make, _ = TRANSPORTS[transport]
    store = get_typestore(Stores.ROS2_JAZZY)
    (definition,) = definitions.values()
    store.register(get_types_from_msg(definition, kind))
    bag = folder / "bag"
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {camera: writer.add_connection(f"/{camera}", kind, typestore=store) for camera in truth}
        for number, (codec, pair) in enumerate(packets.items()):
            stamp = START_NS + number * PERIOD_NS
            for camera, connection in topics.items():
                name = called(transport, codec if camera == "visible" else GREY)
                writer.write(connection, stamp + 1_000_000, make(stamp, pair[camera], name))
    pairs = [found.pair for found in Replay(open_bag(bag), "/visible", "/thermal", stream_codecs()).pairs()]
    out = folder / "bag.json"
    options = ["--visible-topic", "/visible", "--thermal-topic", "/thermal", "--model", str(model), "--json", str(out)]
    assert cli.main(["evaluate", "bag", str(bag), *options, "--jobs", "1"]) == 0
    assert json.loads(out.read_text())["n"] == len(packets)
    return {
        codec: differences(truth, {"visible": pair.visible.image, "thermal": pair.thermal.image})
        for codec, pair in zip(packets, pairs, strict=True)
    }


def test_every_codec_arrives_with_its_pixels_everywhere(packets, truth, model, tmp_path, monkeypatch, repo_root):
    lines = []
    for transport, (kind, definitions, *_) in TRANSPORTS.items():
        folder = tmp_path / transport
        folder.mkdir()
        package = kind.split("/")[0]
        for name, value in message_packages.environment(folder / "msgs", package, definitions).items():
            monkeypatch.setenv(name, value)
        ways = [
            by_node(transport, packets, truth, model, folder),
            by_bag(transport, packets, truth, model, folder),
        ]
        for codec in CODECS:
            assert all(way[codec]["visible"] <= WITHIN["colour"] for way in ways), (transport, codec, ways)
            words = " | ".join(f"within {WITHIN['colour']}" for _ in ways)
            lines.append(f"| `{transport}` | {codec} | BGR, 8 bit | {words} |")
        assert all(pair["thermal"] <= WITHIN["grey"] for way in ways for pair in way.values()), (transport, ways)
        words = " | ".join(f"within {WITHIN['grey']}" for _ in ways)
        lines.append(f"| `{transport}` | {GREY}, grey | 8 bit | {words} |")
    document_table.assert_shows(repo_root / "docs" / "encodings.md", "table of video", HEAD + "\n".join(lines) + "\n")
