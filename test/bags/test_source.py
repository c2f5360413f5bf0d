"""Bags as they are opened for replay, whole and broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from bag_maker import streams, write_bag
from rosbags.rosbag2 import StoragePlugin

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
