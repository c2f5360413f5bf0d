"""The files of a bag: MCAP, SQLite, either of them packed as a whole, and what is left of broken ones.

A topic is its name and its type. What a file or metadata.yaml says of QoS plays no part in reading.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vi_fusion_ros.bags.mcap_views import McapViewReader, opened_mcap
from vi_fusion_ros.bags.recovery import recovered

SUFFIXES = (".mcap", ".db3")
PACKED_SUFFIX = ".zstd"

_ZSTD = b"\x28\xb5\x2f\xfd"  # no serialised message begins like this
_COPIED_AT_ONCE = 2**20


class Record(NamedTuple):
    """One message.

    Attributes:
        topic: its topic.
        log_ns: when it was recorded, nanoseconds.
        data: serialised (CDR).
    """

    topic: str
    log_ns: int
    data: bytes | memoryview


class Storage(Protocol):
    """One file.

    Attributes:
        topics: message type by topic.
        counts: messages by topic.
    """

    topics: dict[str, str]
    counts: dict[str, int]

    def messages(self, topics: Mapping[str, str]) -> Iterator[Record]:
        """The messages of some topics with their types, in the order of their log times.

        Each call reads for itself, and closes the file at its end.
        """
        ...

    def heads(self, topics: Mapping[str, str], size: int) -> Iterator[Record]:
        """As ``messages``, but of each at least the first ``size`` bytes, and no more where that is cheaper."""
        ...


class McapStorage:
    """A whole MCAP file.

    Raises:
        Exception: it is none; whatever rosbags stumbles over.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        with opened_mcap(file) as reader:
            for connection in reader.connections:
                kind = self.topics.setdefault(connection.topic, connection.msgtype)
                self.counts[connection.topic] += connection.msgcount * (kind == connection.msgtype)
            first = next(reader.heads(reader.connections, len(_ZSTD)), None) if reader.connections else None
        self._packed = first is not None and _is_packed(first[2])

    def messages(self, topics: Mapping[str, str]) -> Iterator[Record]:
        """As ``Storage.messages``."""
        return self._read(topics, McapViewReader.messages)

    def heads(self, topics: Mapping[str, str], size: int) -> Iterator[Record]:
        """As ``Storage.heads``."""
        return self.messages(topics) if self._packed else self._read(topics, partial(McapViewReader.heads, size=size))

    def _read(self, topics: Mapping[str, str], read: Callable[..., Iterator[tuple[Any, int, Any]]]) -> Iterator[Record]:
        with opened_mcap(self._file) as reader:
            wanted = [c for c in reader.connections if topics.get(c.topic) == c.msgtype]
            if wanted:  # none would mean all
                for connection, log_ns, data in read(reader, wanted):
                    yield Record(connection.topic, log_ns, unpacked(data))


class SqliteStorage:
    """A whole SQLite file, with the write-ahead log beside it that a recorder leaves which is killed.

    Raises:
        sqlite3.Error: it is none.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        with closing(self._connect()) as database:
            counts = dict(database.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
            for key, topic, kind in database.execute("SELECT id, name, type FROM topics ORDER BY id"):
                if self.topics.setdefault(topic, kind) == kind:
                    self.counts[topic] += counts.get(key, 0)
            first = database.execute("SELECT substr(data, 1, 4) FROM messages LIMIT 1").fetchone()
        self._packed = first is not None and _is_packed(first[0])

    def messages(self, topics: Mapping[str, str]) -> Iterator[Record]:
        """As ``Storage.messages``."""
        return self._read(topics, "data")

    def heads(self, topics: Mapping[str, str], size: int) -> Iterator[Record]:
        """As ``Storage.heads``."""
        return self.messages(topics) if self._packed else self._read(topics, f"substr(data, 1, {size:d})")

    def _read(self, topics: Mapping[str, str], what: str) -> Iterator[Record]:
        with closing(self._connect()) as database:
            found = database.execute("SELECT id, name, type FROM topics")
            names = {key: topic for key, topic, kind in found if topics.get(topic) == kind}
            marks = ", ".join("?" * len(names))
            query = (
                f"SELECT topic_id, timestamp, {what} FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp, id"
            )
            for key, log_ns, data in database.execute(query, list(names)):
                yield Record(names[key], log_ns, unpacked(data))

    def _connect(self) -> sqlite3.Connection:
        log = self._file.with_name(f"{self._file.name}-wal")
        unmerged = log.exists() and log.stat().st_size > 0
        # Without locks the log is read without the file of shared memory, which a read-only folder could not take.
        how = "vfs=unix-none" if unmerged else "immutable=1"
        database = sqlite3.connect(
            f"{self._file.resolve().as_uri()}?mode=ro&{how}", uri=True, check_same_thread=False
        )  # a thread reads ahead
        if unmerged:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
        return database


class BrokenStorage:
    """What can be read of a broken file from its beginning, in the order of writing.

    Raises:
        ModuleNotFoundError: an MCAP file, and the package mcap is not installed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        for message in recovered(file):
            self.topics.setdefault(message.topic, message.kind)
            self.counts[message.topic] += 1

    def messages(self, topics: Mapping[str, str]) -> Iterator[Record]:
        """As ``Storage.messages``."""
        for message in recovered(self._file):
            if topics.get(message.topic) == message.kind:
                yield Record(message.topic, message.log_ns, unpacked(message.data))

    def heads(self, topics: Mapping[str, str], size: int) -> Iterator[Record]:  # noqa: ARG002 (nothing is cheaper)
        """As ``Storage.heads``."""
        return self.messages(topics)


def open_storage(file: Path) -> Storage:
    """A whole file.

    Raises:
        Exception: it is not whole, or nothing of the kind.
    """
    return McapStorage(file) if file.suffix == ".mcap" else SqliteStorage(file)


def unpacked(data: bytes | memoryview) -> bytes | memoryview:
    """A message that may have been packed by itself (compression mode ``message``)."""
    return _zstd().decompress(data) if _is_packed(data) else data


def _is_packed(data: bytes | memoryview) -> bool:
    return bytes(data[: len(_ZSTD)]) == _ZSTD


def unpack_file(file: Path, folder: Path) -> Path:
    """Write what a file that is packed as a whole holds into ``folder``.

    Raises:
        Exception: it is broken; whatever the library raises.
    """
    target = folder / file.stem
    with _zstd().open(file, "rb") as source, target.open("wb") as copy:
        while block := source.read(_COPIED_AT_ONCE):
            copy.write(block)
    return target


def _zstd() -> Any:
    """The standard library's module, which rosbags brings for releases of Python that have none."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
