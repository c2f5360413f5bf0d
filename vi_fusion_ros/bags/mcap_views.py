"""rosbags' MCAP reader without its three copies of each message: a tenth of the time that fusing raw images takes."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any
from zlib import crc32

from rosbags.interfaces import Connection
from rosbags.rosbag2 import ReaderError, storage_mcap
from rosbags.rosbag2.storage_mcap import ChunkInfo, McapReader

_RECORD = struct.Struct("<BQ")  # opcode, length of the content
_CHUNK_CRC = struct.Struct("<24xI")  # behind the times and the size
_CHUNK_HEADER_SIZE = 40  # of an uncompressed one, whose name of the compression is empty
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_MESSAGE_OPCODE = 0x05

_Found = tuple[int, Connection | None, memoryview]  # log time, and no connection where it is a chunk that begins

_PARSE_QOS = storage_mcap.parse_qos  # raises where the text is not as it expects


class McapViewReader(McapReader):
    """Gives messages as views of their chunk, where no chunk is compressed; else as the class below it does."""

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Generator[tuple[Connection, int, Any], None, None]:
        """As rosbags': by log time; of equal ones, in the order of writing. Without chunks, in that order alone."""
        if not self.chunks:
            yield from self.messages_scan(connections, start, stop)
        elif start is not None or stop is not None or self._packed:
            yield from super().messages(connections, start, stop)
        else:
            yield from self._merged(self._views, connections)

    def heads(self, connections: Collection[Connection], size: int) -> Iterator[tuple[Connection, int, Any]]:
        """As ``messages``, but with ``size`` bytes of each where they can be had without the rest."""
        if not self.chunks or self._packed:
            yield from self.messages(connections)
        else:
            yield from self._merged(partial(self._heads, size=size), connections)

    @property
    def _packed(self) -> bool:
        return any(chunk.compression for chunk in self.chunks)

    def _merged(
        self, read: Callable[[ChunkInfo, dict[int, Connection]], Iterator[_Found]], connections: Collection[Connection]
    ) -> Iterator[tuple[Connection, int, Any]]:
        by_channel = {connection.id: connection for connection in connections}
        wanted = [chunk for chunk in self.chunks if not by_channel.keys().isdisjoint(chunk.channel_count)]
        for log_ns, connection, data in heapq.merge(*(read(c, by_channel) for c in wanted), key=itemgetter(0)):
            if connection is not None:
                yield connection, log_ns, data

    def _heads(self, chunk: ChunkInfo, by_channel: dict[int, Connection], size: int) -> Iterator[_Found]:
        yield chunk.message_start_time, None, memoryview(b"")
        assert self.bio is not None
        found: list[_Found] = []
        at = chunk.chunk_start_offset + _RECORD.size + _CHUNK_HEADER_SIZE
        end = at + chunk.uncompressed_size
        while at < end:
            self.bio.seek(at)
            head = memoryview(self.bio.read(_RECORD.size + _MESSAGE.size + size))
            opcode, length = _RECORD.unpack_from(head)
            content = head[_RECORD.size : _RECORD.size + length]
            at += _RECORD.size + length
            if opcode == _MESSAGE_OPCODE:
                channel, _, log_ns, _ = _MESSAGE.unpack_from(content)
                if channel in by_channel:
                    found.append((log_ns, by_channel[channel], content[_MESSAGE.size :]))
        yield from sorted(found, key=itemgetter(0))

    def _views(self, chunk: ChunkInfo, by_channel: dict[int, Connection]) -> Iterator[_Found]:
        yield chunk.message_start_time, None, memoryview(b"")  # lets the merge start without reading every chunk
        records = self._records(chunk)
        found: list[_Found] = []
        at = 0
        while at < len(records):
            opcode, length = _RECORD.unpack_from(records, at)
            content = records[at + _RECORD.size : at + _RECORD.size + length]
            if len(content) != length:
                raise ReaderError(f"a record of {length} bytes is cut off by the end of its chunk")
            at += _RECORD.size + length
            if opcode == _MESSAGE_OPCODE:
                channel, _, log_ns, _ = _MESSAGE.unpack_from(content)
                if channel in by_channel:
                    found.append((log_ns, by_channel[channel], content[_MESSAGE.size :]))
        yield from sorted(found, key=itemgetter(0))

    def _records(self, chunk: ChunkInfo) -> memoryview:
        assert self.bio is not None
        self.bio.seek(chunk.chunk_start_offset + _RECORD.size)
        content = memoryview(self.bio.read(_CHUNK_HEADER_SIZE + chunk.uncompressed_size))
        records = content[_CHUNK_HEADER_SIZE:]
        if len(records) != chunk.uncompressed_size:
            raise ReaderError(f"chunk has {len(records)} bytes, expected {chunk.uncompressed_size}")
        (checksum,) = _CHUNK_CRC.unpack_from(content)
        if checksum and crc32(records) != checksum:
            raise ReaderError("chunk checksum mismatch")
        return records


def _no_qos(_: Any) -> list[Any]:
    return []


@contextmanager
def opened_mcap(file: Path) -> Iterator[McapViewReader]:
    """A reader of a file, whatever its channels say of QoS.

    Raises:
        Exception: the file is not whole; whatever rosbags stumbles over.
    """
    reader = McapViewReader(file)
    storage_mcap.parse_qos = _no_qos  # type: ignore[assignment]
    try:
        reader.open()
    finally:
        storage_mcap.parse_qos = _PARSE_QOS
    try:
        yield reader
    finally:
        reader.close()
