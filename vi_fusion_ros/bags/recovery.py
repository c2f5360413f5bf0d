"""What is left of broken bag files: their messages in the order of writing, up to the break."""

from __future__ import annotations

import io
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

_MAGIC_SIZE = 8
_RECORD_HEADER = struct.Struct("<BQ")  # opcode, length of the content
_CHUNK = 0x06
_CHUNK_HEADER = struct.Struct("<QQQII")  # first and last log time, size and checksum unpacked, length of the format


class Recovered(NamedTuple):
    """One message.

    Attributes:
        topic: its topic.
        kind: its type.
        log_ns: when it was recorded, nanoseconds.
        data: serialised (CDR).
    """

    topic: str
    kind: str
    log_ns: int
    data: bytes


def recovered(file: Path) -> Iterator[Recovered]:
    """The messages of an ``.mcap`` or ``.db3`` file up to the break.

    Raises:
        ModuleNotFoundError: an MCAP file, and the package mcap is not installed.
    """
    return _mcap(file) if file.suffix == ".mcap" else _sqlite(file)


def _mcap(file: Path) -> Iterator[Recovered]:
    from mcap.records import Channel, Message, Schema

    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    for record in _mcap_records(file):
        if isinstance(record, Schema):
            schemas[record.id] = record.name
        elif isinstance(record, Channel):
            channels[record.id] = record.topic, schemas.get(record.schema_id, "")
        elif isinstance(record, Message) and record.channel_id in channels:
            yield Recovered(*channels[record.channel_id], record.log_time, record.data)


def _mcap_records(file: Path) -> Iterator[Any]:
    """What is whole, also of a chunk that is cut; a recording of a few seconds may lie in a single one."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(_MAGIC_SIZE)
        while len(header := stream.read(_RECORD_HEADER.size)) == _RECORD_HEADER.size:
            opcode, length = _RECORD_HEADER.unpack(header)
            content = stream.read(min(length, size))  # a broken length may be any
            try:
                yield from _parsed(_unpacked(content) if opcode == _CHUNK else header + content)
            except Exception:  # the decompressors each have their own
                return


def _parsed(records: bytes) -> Iterator[Any]:
    from mcap.stream_reader import StreamReader

    try:
        yield from StreamReader(io.BytesIO(records), skip_magic=True, validate_crcs=False).records
    except Exception:  # mcap's or struct's, at the end as at the break
        return


def _unpacked(chunk: bytes) -> bytes:
    """The records in a chunk, as far as they are there."""
    if len(chunk) < _CHUNK_HEADER.size:
        return b""
    *_, name_length = _CHUNK_HEADER.unpack_from(chunk)
    start = _CHUNK_HEADER.size + name_length
    name, packed = chunk[_CHUNK_HEADER.size : start], chunk[start + 8 :]  # before the records comes their length
    if name == b"zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    if name == b"lz4":
        import lz4.frame

        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(packed))
    return packed


def _sqlite(file: Path) -> Iterator[Recovered]:
    # In the order of writing: the index by time may lie behind the break.
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        try:
            # Else SQLite refuses a file that is shorter than its header says.
            database.execute("PRAGMA writable_schema = ON")
            topics = {key: (name, kind) for key, name, kind in database.execute("SELECT id, name, type FROM topics")}
            for key, log_ns, data in database.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
                if key in topics:
                    yield Recovered(*topics[key], log_ns, data)
        except sqlite3.Error:
            return
