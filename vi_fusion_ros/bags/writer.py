"""Writing rosbag2 files (MCAP) with this package's messages, without ROS; ``ros2 bag`` and rosbags read them alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from vi_fusion_ros.bags.message_types import typestore

_NEVER = QosTime(sec=2147483647, nsec=4294967295)
_RELIABLE = Qos(
    QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE, _NEVER, _NEVER, QosLiveliness.AUTOMATIC,
    _NEVER, False,
)  # fmt: skip


class BagWriter:
    """Writes one MCAP file, which appears at its path when it is complete.

    Use it as a context manager; when the block ends by an exception, nothing is left behind.

    Args:
        path: of the file, ending in ``.mcap``. An existing file is replaced.
        compressed: with zstd. It takes 5 ms a 640x480 colour image, which a live recording may not have.
    """

    def __init__(self, path: Path, compressed: bool = True) -> None:
        self._path, self._compressed = path, compressed
        self._folder = path.with_name(f".{path.name}.partial")
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer = Writer(self._folder, version=9, storage_plugin=StoragePlugin.MCAP)
        if self._compressed:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        return self

    def write(self, topic: str, message_type: str, stamp_ns: int, message: Any) -> None:
        """Append a message.

        Args:
            topic: fully qualified topic name.
            message_type: for example ``sensor_msgs/msg/Image``; the first message of a topic decides.
            stamp_ns: log time, nanoseconds.
            message: serialised (CDR) bytes, or a message object of ``typestore()``.
        """
        store = typestore()
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message_type, typestore=store, offered_qos_profiles=[_RELIABLE]
            )
        data = message if isinstance(message, bytes) else store.serialize_cdr(message, message_type)
        self._writer.write(self._connections[topic], stamp_ns, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            next(self._folder.glob("*.mcap")).replace(self._path)
        shutil.rmtree(self._folder)


def compress(source: Path, target: Path) -> None:
    """Write the messages of a bag into a compressed one, and remove the first.

    Raises:
        OSError: the target cannot be written; the source stays.
    """
    with BagWriter(target) as writer:
        copy_messages(source, writer)
    source.unlink()


def copy_messages(source: Path, writer: BagWriter) -> None:
    """Append the messages of a bag to another one, in the order of their log times."""
    with Reader(source) as reader:
        for connection, stamp_ns, data in reader.messages():
            writer.write(connection.topic, connection.msgtype, stamp_ns, bytes(data))
