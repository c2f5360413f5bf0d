"""Bags as datasets: which images make a pair, how they are read, and what is said of broken bags."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bag_maker
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from vi_fusion_ros import cli
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.image_codecs import image_codecs
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.training.datasets.rosbag import RosbagDataset

CODECS = image_codecs()
TOPICS = (bag_maker.VISIBLE, bag_maker.THERMAL)


def write_bag(path: Path, kind: str, messages: Iterable[tuple[int, str, Any]], topics: tuple[str, str]) -> Path:
    """Write log time, topic and message as they come."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=typestore()) for topic in topics}
        for log_ns, topic, message in messages:
            writer.write(connections[topic], log_ns, typestore().serialize_cdr(message, kind))
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_pairs_are_those_of_the_nodes_pairing_with_the_bags_pixels(tmp_path, storage, compressed):
    entries = list(bag_maker.streams(1, 30, 9, deep=True))
    bag = bag_maker.write_bag(tmp_path / "bag", entries, storage, compressed)
    dataset = RosbagDataset(bag, CODECS)
    assert len(dataset) == 9
    assert dataset.problems == []
    images = {(topic, stamp): image for stamp, topic, image in entries}
    for sample, visible, thermal in dataset.readable():
        stamps = [int(path.name.split("@")[1]) for path in (sample.visible, sample.thermal)]
        assert abs(stamps[0] - stamps[1]) < 20_000_000
        np.testing.assert_array_equal(visible, images[bag_maker.VISIBLE, stamps[0]])
        np.testing.assert_array_equal(thermal, images[bag_maker.THERMAL, stamps[1]])
        assert (visible.dtype, thermal.dtype) == (np.uint8, np.uint16)
        assert sample.known == frozenset()


def test_samples_can_be_read_in_any_order(tmp_path):
    dataset = RosbagDataset(bag_maker.write_bag(tmp_path / "bag", bag_maker.streams(0.5)), CODECS)
    forward = [visible for _, visible, _ in dataset.readable()]
    for k in (7, 2, 2, 14, 0):
        np.testing.assert_array_equal(dataset.read(dataset.samples[k])[0], forward[k])


def test_a_bag_that_jumps_back_in_time_keeps_every_pair(tmp_path):
    once = list(bag_maker.streams(0.5))
    twice = enumerate([*once, *once])  # played two times, recorded in one go
    messages = ((bag_maker.START_NS + n * 15_000_000, t, bag_maker.raw_message(i, stamp)) for n, (stamp, t, i) in twice)
    path = write_bag(tmp_path / "bag", bag_maker.RAW, messages, TOPICS)
    dataset = RosbagDataset(path, CODECS)
    assert len(dataset) == 30
    assert [sample.order for sample, *_ in dataset.readable()] == list(range(30))
    assert dataset.problems == []


def test_cameras_of_two_sizes_are_not_registered(tmp_path):
    entries = [(s, t, i[:60] if t == bag_maker.THERMAL else i) for s, t, i in bag_maker.streams(0.2)]
    dataset = RosbagDataset(bag_maker.write_bag(tmp_path / "bag", entries), CODECS)
    assert len(dataset) == 6
    assert not any(sample.registered for sample in dataset.samples)
    assert dataset.read_views(dataset.samples[0])[1].shape == (60, 128)
    with pytest.raises(DatasetError, match="not registered"):
        dataset.read(dataset.samples[0])


def test_an_image_that_cannot_be_decoded_is_named_and_its_pair_left_out(tmp_path):
    entries = list(bag_maker.streams(0.2))
    messages = [(stamp, topic, bag_maker.compressed_message(image, stamp)) for stamp, topic, image in entries]
    cut = messages[4][2]
    cut.data = cut.data[:30]
    path = write_bag(tmp_path / "bag", bag_maker.COMPRESSED, messages, TOPICS)
    dataset = RosbagDataset(path, CODECS)
    assert len(dataset) == 6
    assert [sample.order for sample, *_ in dataset.viewable()] == [0, 1, 3, 4, 5]
    assert len(dataset.problems) == 1
    assert f"visible@{entries[4][0]}: this image or its partner cannot be decoded" in str(dataset.problems[0])


def test_a_truncated_bag_gives_what_is_left_and_says_so(tmp_path):
    pytest.importorskip("mcap")
    bag = bag_maker.write_bag(tmp_path / "bag", bag_maker.streams(4))  # several chunks
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    dataset = RosbagDataset(bag, CODECS)
    assert 10 < len(dataset) < 110
    assert any("cannot be read to its end" in str(problem) for problem in dataset.problems)
    assert len(list(dataset.readable())) == len(dataset)


@pytest.mark.parametrize("topics", [("/front/image", "/rear/image"), ("/thermal/image", "/lwir/image")])
def test_topics_that_cannot_be_told_apart_have_to_be_named(tmp_path, topics):
    names = dict(zip(TOPICS, topics, strict=True))
    messages = ((s, names[t], bag_maker.raw_message(i, s)) for s, t, i in bag_maker.streams(0.2))
    path = write_bag(tmp_path / "bag", bag_maker.RAW, messages, topics)
    with pytest.raises(DatasetError, match="cannot tell which of its image topics are meant") as caught:
        RosbagDataset(path, CODECS)
    assert all(topic in str(caught.value) for topic in topics)
    assert len(RosbagDataset(path, CODECS, topics)) == 6


def test_the_command_checks_a_bag(tmp_path, capsys):
    bag = bag_maker.write_bag(tmp_path / "bag", bag_maker.streams(0.5, 30, 10, deep=True))
    assert cli.main(["dataset", "check", str(bag)]) == 0
    out = capsys.readouterr().out
    assert "layout rosbag" in out
    assert "128x96 uint16 (5)" in out
    assert "visible /visible/image, thermal /thermal/image" in out


def test_no_bag_is_one_sentence(tmp_path: Path, capsys):
    (tmp_path / "metadata.yaml").write_text("")
    assert cli.main(["dataset", "check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "not a readable rosbag2" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("single_file", [False, True])
def test_a_changed_bag_does_not_meet_the_old_ones_pixels(tmp_path, single_file):
    """Same place, same stamps, same size: only the pixels differ, and the time of the file."""
    pixels = []
    for turned in (False, True):
        entries = [(s, t, i[:, ::-1].copy() if turned else i) for s, t, i in bag_maker.streams(0.2)]
        written = bag_maker.write_bag(tmp_path / f"written{turned}", entries)
        bag = tmp_path / "bag.mcap" if single_file else tmp_path / "bag"
        if bag.is_dir():
            shutil.rmtree(bag)
        (next(written.glob("*.mcap")) if single_file else written).replace(bag)
        packed = PackedPairs(RosbagDataset(bag, CODECS), tmp_path / "cache")
        pixels.append(packed[0][..., :3].copy())
    np.testing.assert_array_equal(pixels[1], pixels[0][:, ::-1])
