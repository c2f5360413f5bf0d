"""Reading rosbag2 bags: folders and single files, MCAP and SQLite, whole or up to where they break."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vi_fusion_ros.bags.metadata import read_metadata
from vi_fusion_ros.bags.storage import (
    PACKED_SUFFIX,
    SUFFIXES,
    BrokenStorage,
    Record,
    Storage,
    open_storage,
    unpack_file,
)
from vi_fusion_ros.errors import one_line


class BagError(ValueError):
    """A bag that cannot be used; the text is one sentence."""


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
        """The messages of some topics, in the order of their log times; ends at the break of a broken bag.

        Each call reads for itself, so that several may go on side by side.
        """
        ...

    def heads(self, topics: Sequence[str], size: int) -> Iterator[Record]:
        """As ``records``, but of each message at least its first ``size`` bytes, and no more where that is cheaper."""
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
    return _Bag(path)


class _Bag:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._stated: dict[str, int] = {}
        self.broken: str | None = None
        self._storages: list[Storage] = []
        for file in self._files():
            self._open(file)
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = Counter()
        for storage in self._storages:
            for topic, kind in storage.topics.items():
                if self.topics.setdefault(topic, kind) == kind:
                    self.counts[topic] += storage.counts[topic]
        if not self.topics and (self.broken or not self._storages):
            self.close()
            reason = self.broken or "it is neither"
            raise BagError(
                f"{path}: not a readable rosbag2 ({reason}); expected a rosbag2 folder, an .mcap or a .db3 file"
            )

    def records(self, topics: Sequence[str]) -> Iterator[Record]:
        wanted = {topic: self.topics[topic] for topic in topics if topic in self.topics}
        found: Counter[str] = Counter()
        for storage in self._storages:
            try:
                for record in storage.messages(wanted):
                    found[record.topic] += 1
                    yield record
            except Exception as error:  # whatever the storages' libraries raise at the break
                self._note(_sentence(error))
                return
        for topic in wanted:
            if self._stated.get(topic, found[topic]) != found[topic]:
                self._note(f"metadata.yaml counts {self._stated[topic]} messages on {topic}, {found[topic]} were found")

    def heads(self, topics: Sequence[str], size: int) -> Iterator[Record]:
        wanted = {topic: self.topics[topic] for topic in topics if topic in self.topics}
        for storage in self._storages:
            try:
                yield from storage.heads(wanted, size)
            except Exception:  # told by ``records``, which comes to the same place
                return

    def close(self) -> None:
        if self._unpacked is not None:
            self._unpacked.cleanup()

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        try:
            metadata = read_metadata(self._path)
        except ValueError as error:
            self._note(str(error))
            # The parts of a bag are numbered without leading zeros.
            files = sorted(self._path.iterdir(), key=lambda file: (len(file.name), file.name))
            return [file for file in files if file.name.removesuffix(PACKED_SUFFIX).endswith(SUFFIXES)]
        self._stated = metadata.counts
        files = [self._path / name for name in metadata.files]
        for file in files:
            if not file.exists():
                self._note(f"its file {file.name} is missing")
        return [file for file in files if file.exists()]

    def _open(self, file: Path) -> None:
        """Add a file, or what is left of it where it is broken."""
        try:
            if file.suffix == PACKED_SUFFIX:
                self._unpacked = self._unpacked or tempfile.TemporaryDirectory(prefix="vi_fusion_bag_")
                file = unpack_file(file, Path(self._unpacked.name))
            self._storages.append(open_storage(file))
        except Exception as error:  # what the storages' libraries raise on damaged files
            self._note(_sentence(error))
            if file.suffix in SUFFIXES:
                self._storages.append(self._remains(file))

    def _remains(self, file: Path) -> Storage:
        try:
            return BrokenStorage(file)
        except ModuleNotFoundError as error:
            self.close()
            raise BagError(
                f"{self._path}: broken ({self.broken}); to evaluate it up to the break install the package {error.name}"
            ) from error

    def _note(self, reason: str) -> None:
        self.broken = self.broken or reason


def _sentence(error: Exception) -> str:
    text = one_line(error).rstrip(".")  # SQLite's have several lines
    return text or type(error).__name__
