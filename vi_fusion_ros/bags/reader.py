"""rosbags' reader with this room's readers of files in place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader

from vi_fusion_ros.bags.mcap_views import McapViewReader
from vi_fusion_ros.bags.sqlite_reader import ClosingSqliteReader


class _DirectoryReader(DirectoryReader):
    STORAGE_PLUGINS: Mapping[str, Any] = {
        **DirectoryReader.STORAGE_PLUGINS,
        "mcap": McapViewReader,
        "sqlite3": ClosingSqliteReader,
    }


class BagReader(Reader):
    """``rosbags.rosbag2.Reader`` whose messages may be ``memoryview``."""

    STORAGE_PLUGINS: Mapping[str, Any] = {
        **Reader.STORAGE_PLUGINS,
        "dir": _DirectoryReader,
        ".mcap": McapViewReader,
        ".db3": ClosingSqliteReader,
    }
