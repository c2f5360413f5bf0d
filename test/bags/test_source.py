"""Bags as they are opened for replay, whole and broken."""

from __future__ import annotations

import pickle
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from bag_maker import RAW, THERMAL, VISIBLE, streams, write_bag
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.source import BagError, open_bag


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "broken"])
def test_a_bag_that_was_read_leaves_no_file_open(tmp_path, storage, whole):
    folder = write_bag(tmp_path / "bag", streams(0.2, 10, 10), storage)
    (file,) = [path for path in folder.iterdir() if path.suffix in (".mcap", ".db3")]
    if not whole:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    before = open_files()
    for path in (folder, file):
        try:
            source = open_bag(path)
        except BagError:
            assert not whole
            continue
        assert list(source.records(list(source.topics)))
        source.close()
    assert open_files() == before


def folder_of(tmp_path, storage=StoragePlugin.MCAP, **options):
    return write_bag(tmp_path / "bag", streams(0.5, 10, 10), storage, **options)


def read(path):
    with closing(open_bag(path)) as source:
        found = [(record.topic, record.log_ns, bytes(record.data)) for record in source.records(list(source.topics))]
        return found, source


def edited(folder, edit):
    """Metadata with other content."""
    path = folder / "metadata.yaml"
    content = yaml.safe_load(path.read_text())
    edit(content["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(content))


QOS = {
    "another depth": "- history: keep_last\n  depth: 1\n  reliability: best_effort",
    "other names": "- {history: 42, depth: 7, reliability: nonsense, durability: 1}",
    "nothing": "",
    "no YAML": "- [",
    "a number": "5",
}


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite"])
@pytest.mark.parametrize("qos", list(QOS))
def test_a_topic_is_its_name_and_type_whatever_the_qos(tmp_path, storage, qos):
    folder = folder_of(tmp_path, storage)
    expected, _ = read(folder)
    assert len(expected) == 10

    def change(about):
        for entry in about["topics_with_message_count"]:
            entry["topic_metadata"]["offered_qos_profiles"] = QOS[qos]

    edited(folder, change)
    found, source = read(folder)
    assert (found, source.broken) == (expected, None)


@pytest.mark.parametrize("qos", list(QOS))
def test_nor_by_the_qos_in_the_file(tmp_path, qos):
    folder = folder_of(tmp_path, StoragePlugin.SQLITE3)
    expected, _ = read(folder)
    with closing(sqlite3.connect(next(folder.glob("*.db3")))) as database:
        database.execute("UPDATE topics SET offered_qos_profiles = ?", (QOS[qos],))
        database.commit()
    assert read(folder)[0] == expected


def test_nor_by_the_qos_of_a_channel(tmp_path):
    folder = folder_of(tmp_path)
    expected, _ = read(folder)
    (file,) = folder.glob("*.mcap")
    file.write_bytes(file.read_bytes().replace(b"history", b"HISTORY"))
    found, source = read(folder)
    # Channels lie in chunks, whose checksums tell; what reads them opens the file all the same.
    assert source.topics.keys() == {topic for topic, _, _ in expected}
    assert found == expected or "checksum" in source.broken


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "metadata.yaml is missing"),
        ("", "metadata.yaml is empty"),
        ("rosbag2_bagfile_information:\n", "metadata.yaml is not that of a rosbag2"),
        ("a: [", r"metadata .*metadata\.yaml is not YAML"),
        ("a: {}", "metadata.yaml is not that of a rosbag2"),
    ],
)
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite"])
def test_without_usable_metadata_the_files_are_read_and_it_is_said(tmp_path, storage, content, reason):
    folder = folder_of(tmp_path, storage)
    expected, _ = read(folder)
    (folder / "metadata.yaml").unlink()
    if content is not None:
        (folder / "metadata.yaml").write_text(content)
    found, source = read(folder)
    assert found == expected
    assert re.search(reason, source.broken)


def test_counts_that_differ_from_the_metadata_are_told(tmp_path):
    folder = folder_of(tmp_path)

    def change(about):
        about["topics_with_message_count"][0]["message_count"] = 60

    edited(folder, change)
    found, source = read(folder)
    assert len(found) == 10
    assert source.broken == f"metadata.yaml counts 60 messages on {VISIBLE}, 5 were found"


def test_a_missing_part_is_told(tmp_path):
    folder = folder_of(tmp_path)
    edited(folder, lambda about: about["relative_file_paths"].append("bag_1.mcap"))
    found, source = read(folder)
    assert len(found) == 10
    assert source.broken == "its file bag_1.mcap is missing"


@pytest.mark.parametrize("mode", ["FILE", "MESSAGE"])
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite"])
def test_packed_bags(tmp_path, storage, mode):
    expected, _ = read(folder_of(tmp_path, storage))
    packed = tmp_path / "packed"
    writer = Writer(packed, version=9, storage_plugin=storage)
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    with writer:
        topics = {topic: writer.add_connection(topic, RAW, typestore=typestore()) for topic in (VISIBLE, THERMAL)}
        for topic, log_ns, data in expected:
            writer.write(topics[topic], log_ns, data)
    found, source = read(packed)
    assert (found, source.broken) == (expected, None)


@pytest.mark.parametrize("read_only", [False, True])
def test_an_unmerged_write_ahead_log_is_read_and_nothing_is_written(tmp_path, read_only):
    """What is left when the recorder is killed; made by a process that ends without closing the database."""
    folder = folder_of(tmp_path, StoragePlugin.SQLITE3)
    expected, _ = read(folder)
    (file,) = folder.glob("*.db3")
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id").fetchall()
        database.execute("DELETE FROM messages")
        database.commit()
    recorder = """
import os, pickle, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA wal_autocheckpoint = 0")
for row in pickle.load(sys.stdin.buffer):
    database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    database.commit()
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", recorder, file], input=pickle.dumps(rows), check=True)
    file.with_name(f"{file.name}-shm").unlink()
    names = sorted(path.name for path in folder.iterdir())
    assert f"{file.name}-wal" in names
    if read_only:
        folder.chmod(0o555)
    try:
        found, source = read(folder)
    finally:
        folder.chmod(0o755)
    assert (found, source.broken) == (expected, None)
    assert sorted(path.name for path in folder.iterdir()) == names


def test_two_readings_side_by_side(tmp_path):
    folder = folder_of(tmp_path)
    with closing(open_bag(folder)) as source:
        pairs = list(zip(source.records([VISIBLE]), source.records([THERMAL]), strict=True))
        assert [(a.topic, b.topic) for a, b in pairs] == [(VISIBLE, THERMAL)] * 5
