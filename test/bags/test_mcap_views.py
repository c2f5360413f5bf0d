"""Messages as views of their chunks are the messages that rosbags reads."""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import pytest
from bag_maker import RAW, START_NS, raw_message, streams, write_bag
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer

from vi_fusion_ros.bags.mcap_views import opened_mcap
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.bags.writer import compress

CHECKSUM_AT = 9 + 24  # in a chunk record: opcode, length, first and last time, size


def read(reader_type, path, topics=None):
    with reader_type(path) as reader:
        connections = [c for c in reader.connections if topics is None or c.topic in topics]
        return [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages(connections)]


def read_views(path, topics=None):
    """As ``read``, by this package's reader."""
    with opened_mcap(path) as reader:
        connections = [c for c in reader.connections if topics is None or c.topic in topics]
        return [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages(connections)]


def chunks_of(path):
    with Reader(path) as reader:
        return list(reader.storage.chunks)


def mcap_of(bag: Path) -> Path:
    return next(bag.glob("*.mcap"))


@pytest.mark.parametrize("thermal_hz", [30, 9])
def test_the_same_messages_in_the_same_order(tmp_path, thermal_hz):
    bag = write_bag(tmp_path / "bag", streams(2, 30, thermal_hz, True))
    assert len(chunks_of(mcap_of(bag))) > 1
    for path in (mcap_of(bag),):
        expected = read(Reader, path)
        assert len(expected) == 2 * (30 + thermal_hz)
        assert read_views(path) == expected
        topic = expected[0][0]
        assert read_views(path, [topic]) == read(Reader, path, [topic])


def test_messages_that_were_written_out_of_order_come_by_log_time(tmp_path):
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/visible/image", RAW, typestore=typestore())
        for n, (_, _, image) in enumerate(streams(1, 30, 0)):
            stamp = START_NS + (7 * n % 30) * 1_000_000
            writer.write(topic, stamp, typestore().serialize_cdr(raw_message(image, stamp), RAW))
    got = read_views(mcap_of(tmp_path / "bag"))
    assert got == read(Reader, tmp_path / "bag")
    assert [log_ns - START_NS for _, log_ns, _ in got] == [n * 1_000_000 for n in range(30)]


def test_compressed_chunks_are_read_too(tmp_path):
    plain = mcap_of(write_bag(tmp_path / "bag", streams(1, 10, 10, True)))
    expected = read(Reader, plain)
    compress(plain, tmp_path / "packed.mcap")
    assert chunks_of(tmp_path / "packed.mcap")[0].compression == "zstd"
    assert read_views(tmp_path / "packed.mcap") == expected


def test_a_checksum_is_looked_at(tmp_path):
    path = mcap_of(write_bag(tmp_path / "bag", streams(1, 30, 30, False)))
    chunk = chunks_of(path)[0]
    content = bytearray(path.read_bytes())
    start = chunk.chunk_start_offset + 9 + 40
    right = crc32(content[start : start + chunk.uncompressed_size])
    for checksum, fits in ((right, True), (right ^ 1, False)):
        struct.pack_into("<I", content, chunk.chunk_start_offset + CHECKSUM_AT, checksum)
        path.write_bytes(content)
        if fits:
            assert len(read_views(path)) == 60
        else:
            with pytest.raises(ReaderError, match="checksum"):
                read_views(path)


def test_a_message_that_claims_more_than_its_chunk_holds_ends_the_bag_there(tmp_path):
    path = mcap_of(write_bag(tmp_path / "bag", streams(1, 30, 30, False)))
    chunk = chunks_of(path)[-1]
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, chunk.chunk_start_offset + 9 + 40 + 1, 2**62)
    path.write_bytes(content)
    source = open_bag(path)
    records = list(source.records(list(source.topics)))
    source.close()
    assert 0 < len(records) < 60
    assert source.broken
