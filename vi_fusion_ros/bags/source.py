"""Reading rosbag2 bags: folders and single files, MCAP and SQLite, whole or up to where they break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from rosbags.rosbag2 import ReaderError

from vi_fusion_ros.bags.reader import BagReader
from vi_fusion_ros.bags.recovery import Salvaged, salvaged

_SUFFIXES = (".mcap", ".db3")


class BagError(ValueError):
    """A bag that cannot be used; the text is one sentence."""


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


class BagSource(Protocol):
    """An open bag.

    Attributes:
        topics: message type by topic.
        counts: messages by topic, as far as known.
        broken: why not all of it can be read, None where nothing is known to be missing. Final after reading.
    """

    topics: dict[str, str]
    counts: dict[str, int]
    broken: str | None

    def records(self, topics: Sequence[str]) -> Iterator[Record]:
        """The messages of some topics, in the order of their log times; ends at the break of a broken bag."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def open_bag(path: Path) -> BagSource:
    """Open a bag, a broken one for what is left of it.

    Args:
        path: folder of a rosbag2, or one of its ``.mcap`` or ``.db3`` files.

    Raises:
        BagError: there is no such bag, or nothing of it can be read.
    """
    if not path.exists():
        raise BagError(f"{path}: no such bag; expected a rosbag2 folder or an .mcap or .db3 file")
    try:
        return _WholeBag(path)
    except (ReaderError, OSError) as error:
        return _BrokenBag(path, " ".join(str(error).split()).rstrip("."))  # SQLite's have several lines
    except Exception as error:  # what else the storages' libraries raise on damaged files
        return _BrokenBag(path, f"{type(error).__name__}: {' '.join(str(error).split())}")


class _WholeBag:
    def __init__(self, path: Path) -> None:
        self._reader = BagReader(path)
        self._reader.open()
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        for connection in self._reader.connections:
            self.topics[connection.topic] = connection.msgtype
            self.counts[connection.topic] += connection.msgcount
        self.broken: str | None = None

    def records(self, topics: Sequence[str]) -> Iterator[Record]:
        connections = [c for c in self._reader.connections if c.topic in topics]
        try:
            for connection, log_ns, data in self._reader.messages(connections):
                yield Record(connection.topic, log_ns, data)
        except Exception as error:  # whatever the storages' libraries raise at the break
            self.broken = " ".join(str(error).split()).rstrip(".") or type(error).__name__

    def close(self) -> None:
        self._reader.close()


class _BrokenBag:
    """Reads the files of a bag from their beginnings, without index and metadata."""

    def __init__(self, path: Path, reason: str) -> None:
        # The parts of a bag are numbered without leading zeros.
        files = sorted(path.iterdir(), key=lambda f: (len(f.name), f.name)) if path.is_dir() else [path]
        self._files = [file for file in files if file.suffix in _SUFFIXES]
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        self.broken: str | None = reason
        try:
            for message in self._messages():
                self.topics[message.topic] = message.kind
                self.counts[message.topic] += 1
        except ModuleNotFoundError as error:
            raise BagError(
                f"{path}: broken ({reason}); to evaluate it up to the break install the package {error.name}"
            ) from error
        if not self.topics:
            raise BagError(
                f"{path}: not a readable rosbag2 ({reason}); expected a rosbag2 folder, an .mcap or a .db3 file"
            )

    def records(self, topics: Sequence[str]) -> Iterator[Record]:
        for message in self._messages():
            if message.topic in topics:
                yield Record(message.topic, message.log_ns, message.data)

    def close(self) -> None:
        """Each file is closed when its reading ends."""

    def _messages(self) -> Iterator[Salvaged]:
        for file in self._files:
            yield from salvaged(file)
