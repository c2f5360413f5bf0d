"""The pairs of a bag may be dropped half read: no thread is waited for in the garbage collector, and none is left."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bag_maker import THERMAL, VISIBLE, streams, write_bag

from vi_fusion_ros.bags.read_ahead import ReadAhead
from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.image_codecs import image_codecs

DEADLINE_S = 120.0

DROPPED_WHILE_A_THREAD_IS_STARTED = """
import gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import open_bag
from vi_fusion_ros.image_codecs import image_codecs

collecting, checked = threading.Event(), []

def held(check):
    def until_collected(message):  # on the thread that reads ahead
        checked.append(message)
        if len(checked) > 6:
            collecting.wait()
        check(message)
    return until_collected

class Name(str):
    def __str__(self):  # asked for by a pool that starts a thread, with the lock that every pool needs
        collecting.set()
        gc.collect()
        return "pool"

gc.disable()
codecs = {kind: codec._replace(check=held(codec.check)) for kind, codec in image_codecs().items()}
pairs = Replay(open_bag(Path(sys.argv[1])), "/visible/image", "/thermal/image", codecs).pairs()
next(pairs)
cycle = [pairs]
cycle.append(cycle)
del pairs, cycle
assert ThreadPoolExecutor(1, Name("pool")).submit(int, 7).result() == 7
print("went on")
"""


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("read_ahead", "decode"))]


def require_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), thread.name


@pytest.mark.parametrize("compressed", [True, False])
def test_the_garbage_collector_waits_for_no_thread(tmp_path: Path, compressed: bool) -> None:
    bag = write_bag(tmp_path / "bag", streams(1.0), compressed=compressed)
    done = subprocess.run(
        [sys.executable, "-c", DROPPED_WHILE_A_THREAD_IS_STARTED, str(bag)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


@pytest.mark.parametrize("compressed", [True, False])
def test_pairs_dropped_half_read_leave_no_thread(tmp_path: Path, compressed: bool) -> None:
    bag = write_bag(tmp_path / "bag", streams(1.0), compressed=compressed)
    pairs = Replay(open_bag(bag), VISIBLE, THERMAL, image_codecs()).pairs()
    assert len(list(itertools.islice(pairs, 3))) == 3
    threads = readers()
    assert threads
    del pairs
    require_ended(threads)
    assert len(list(Replay(open_bag(bag), VISIBLE, THERMAL, image_codecs()).pairs())) == 30
    require_ended(readers())


def test_items_come_in_order_and_what_is_raised_in_its_turn() -> None:
    closed = []

    def items():
        try:
            yield from range(5)
            raise ValueError("broken behind the fifth")
        finally:
            closed.append(threading.current_thread().name)

    ahead = ReadAhead(items(), 3)
    assert [next(ahead) for _ in range(5)] == list(range(5))
    for _ in range(2):
        with pytest.raises(ValueError, match="broken behind the fifth"):
            next(ahead)
    require_ended(readers())
    assert closed == ["read_ahead"]
    empty = ReadAhead((n for n in ()), 3)
    assert list(empty) == list(empty) == []
