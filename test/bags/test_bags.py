"""Bags that this package writes, read back by rosbags and, where there is one, by rosbag2."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.writer import BagWriter, compress

TOPIC, TYPE = "/fusion_node/classification", "vi_fusion_ros/msg/FusedClassification"
STAMPS = (1_700_000_000_000_000_000, 1_700_000_000_033_333_333)


def classification(stamp_ns, label="person"):
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    header = types["std_msgs/msg/Header"](stamp, "visible_optical_frame")
    score = types["vi_fusion_ros/msg/LabelScore"](label=label, probability=0.75, present=True)
    kind = types[TYPE]
    box = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "mean_temperature": math.nan, "max_temperature": 300.0}
    found = types["vi_fusion_ros/msg/DetectedObject"](label=label, probability=0.5, **box)
    defaults = {"header": header, "thermal_stamp": stamp, "labels": [score], "objects": [found]}
    defaults |= {"illumination": "day", "model_id": "m"}
    fields = {name: 0 for name in kind.__dataclass_fields__ if name.islower() and name != "__msgtype__"}
    return kind(**{**fields, **defaults})


def write(path, messages):
    with BagWriter(path) as bag:
        for stamp, message in messages:
            bag.write(TOPIC, TYPE, stamp, message)


def read(path):
    with Reader(path) as reader:
        return [
            (stamp, typestore().deserialize_cdr(data, connection.msgtype))
            for connection, stamp, data in reader.messages()
        ]


def test_messages_come_back_with_stamps_and_fields(tmp_path):
    path = tmp_path / "out.mcap"
    write(path, [(stamp, classification(stamp)) for stamp in STAMPS])
    got = read(path)
    assert [stamp for stamp, _ in got] == list(STAMPS)
    assert got[0][1].labels[0].label == "person"
    assert got[0][1].labels[0].probability == 0.75
    found = got[0][1].objects[0]
    assert (found.label, found.x, found.height, found.max_temperature) == ("person", 1, 4, 300)
    assert math.isnan(found.mean_temperature)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mcap"]


def test_serialised_and_typed_messages_are_the_same(tmp_path):
    message = classification(STAMPS[0])
    files = []
    for folder, form in (("object", message), ("bytes", bytes(typestore().serialize_cdr(message, TYPE)))):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "out.mcap")
        write(files[-1], [(STAMPS[0], form)])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_exception_leaves_the_bag_of_before(tmp_path):
    path = tmp_path / "out.mcap"
    write(path, [(STAMPS[0], classification(STAMPS[0], "car"))])

    def fail():
        with BagWriter(path) as bag:
            bag.write(TOPIC, TYPE, STAMPS[1], classification(STAMPS[1]))
            raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mcap"]
    assert read(path)[0][1].labels[0].label == "car"


def test_rosbag2_reads_it_too(tmp_path):
    rosbag2_py = pytest.importorskip("rosbag2_py", reason="rosbag2_py is not installed here")
    path = tmp_path / "out.mcap"
    write(path, [(stamp, classification(stamp)) for stamp in STAMPS])
    reader = rosbag2_py.SequentialReader()
    reader.open(rosbag2_py.StorageOptions(uri=str(path), storage_id="mcap"), rosbag2_py.ConverterOptions("cdr", "cdr"))
    stamps = []
    while reader.has_next():
        topic, _, stamp = reader.read_next()
        assert topic == TOPIC
        stamps.append(stamp)
    assert stamps == list(STAMPS)


def test_the_message_files_are_those_that_were_built():
    messages = pytest.importorskip("vi_fusion_ros.msg", reason="the package's messages are not built")
    for name in ("DetectedObject", "LabelScore", "FusedClassification", "FusionStatus"):
        own = getattr(messages, name)
        stored = typestore().types[f"vi_fusion_ros/msg/{name}"]
        fields = [field for field in stored.__dataclass_fields__ if not field.isupper() and field != "__msgtype__"]
        assert list(own.get_fields_and_field_types()) == fields


def test_images_survive_bit_by_bit(tmp_path):
    types = typestore().types
    header = types["std_msgs/msg/Header"](types["builtin_interfaces/msg/Time"](1, 2), "thermal")
    pixels = np.random.default_rng(0).integers(0, 256, 64, np.uint8)
    image = types["sensor_msgs/msg/Image"](header, 4, 8, "mono16", 0, 16, pixels)
    with BagWriter(tmp_path / "i.mcap") as bag:
        bag.write("/thermal/image", "sensor_msgs/msg/Image", 5, image)
    ((stamp, got),) = read(tmp_path / "i.mcap")
    assert stamp == 5
    assert np.array_equal(got.data, pixels)
    assert (got.encoding, got.step, got.height, got.width) == ("mono16", 16, 4, 8)


def test_a_live_bag_is_compressed_afterwards(tmp_path):
    live, final = tmp_path / "live.mcap", tmp_path / "out.mcap"
    with BagWriter(live, compressed=False) as bag:
        for stamp in STAMPS:
            bag.write(TOPIC, TYPE, stamp, classification(stamp, "person" * 500))
    size = live.stat().st_size
    compress(live, final)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mcap"]
    assert final.stat().st_size < size
    assert [stamp for stamp, _ in read(final)] == list(STAMPS)
