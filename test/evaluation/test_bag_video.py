"""Video in bags, of both of its message types."""

import json

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed (requirements/video.txt)")

import video_packets
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vi_fusion_ros import cli
from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.image_codecs import stream_codecs
from vi_fusion_ros.images.video import FFMPEG, FOXGLOVE

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 33_333_333
DEFINITIONS = {
    FFMPEG: "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n"
    "bool is_bigendian\nuint8[] data",
    FOXGLOVE: "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format",
}
MAKE = {FFMPEG: video_packets.ffmpeg, FOXGLOVE: video_packets.foxglove}


def pictures(count, shift):
    for number in range(count):
        grey = np.tile(np.linspace(40, 200, 128, dtype=np.uint8), (96, 1))
        grey[20:50, shift + 4 * number : shift + 4 * number + 30] = 240
        yield np.dstack([grey] * 3)


@pytest.mark.parametrize("kinds", [(FFMPEG, FOXGLOVE), (FOXGLOVE, FOXGLOVE)])
def test_both_cameras_as_video_are_paired_and_decoded_each_for_itself(tmp_path, model, kinds):
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in DEFINITIONS.items():
        store.register(get_types_from_msg(definition, name))
    truth = {"/visible": list(pictures(12, 5)), "/thermal": list(pictures(12, 40))}
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        made = []
        for (topic, images), kind in zip(truth.items(), kinds, strict=True):
            connection = writer.add_connection(topic, kind, typestore=store)
            made.append((connection, MAKE[kind], list(video_packets.encoded(images))))
        for number in range(12):
            stamp_ns = START_NS + number * PERIOD_NS
            for connection, make, packets in made:
                writer.write(connection, stamp_ns + 1_000_000, make(stamp_ns, packets[number]))
    pairs = list(Replay(open_bag(tmp_path / "bag"), "/visible", "/thermal", stream_codecs()).pairs())
    assert [pair.pair.visible.stamp_ns for pair in pairs] == [START_NS + n * PERIOD_NS for n in range(12)]
    for pair, visible, thermal in zip(pairs, *truth.values(), strict=True):
        for image, expected in ((pair.pair.visible.image, visible), (pair.pair.thermal.image, thermal)):
            assert np.abs(image.astype(int) - expected.astype(int)).max() <= 12
    topics = ["--visible-topic", "/visible", "--thermal-topic", "/thermal"]
    options = ["--model", str(model), "--json", str(tmp_path / "out.json"), "--jobs", "1"]
    assert cli.main(["evaluate", "bag", str(tmp_path / "bag"), *topics, *options]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["n"], result["partial"]) == (12, False)
