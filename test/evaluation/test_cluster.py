"""The evaluation on a Ray cluster of two workers: the local result, also when a worker or its machine dies."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import bag_maker
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed (requirements/cluster.txt)")

from ray.cluster_utils import Cluster  # noqa: E402

from vi_fusion_ros import cli  # noqa: E402

BAGS = 4
SPACE = 80 << 20  # bytes for a node's objects, the least that Ray takes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without processors and two nodes of one each, all on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": SPACE}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=SPACE)
        cluster.wait_for_nodes()
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("bags")
    return [
        bag_maker.write_bag(root / f"drive{n}", bag_maker.streams(3 + n / 10, 30, 30, deep=True)) for n in range(BAGS)
    ]


@pytest.fixture(scope="module")
def local(bags: list[Path], model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the bags."""
    out = tmp_path_factory.mktemp("local")
    assert evaluate(bags, model, out, "--jobs", "1") == 0
    return out


def evaluate(bags: list[Path], model: Path, out: Path, *more: str) -> int:
    topics = ["--visible-topic", bag_maker.VISIBLE, "--thermal-topic", bag_maker.THERMAL]
    options = ["--model", str(model), "--json", str(out / "out.json"), "-o", str(out / "fused")]
    return cli.main(["evaluate", "bag", *map(str, bags), *topics, *options, *more])


def assert_same(out: Path, local: Path) -> None:
    ours, theirs = (json.loads((folder / "out.json").read_text()) for folder in (out, local))
    for result in (ours, theirs):
        for bag in result["bags"].values():
            del bag["timings"]
    assert ours == theirs
    assert ours["n"] == sum(90 + 3 * n for n in range(BAGS))
    names = sorted(path.name for path in (local / "fused").iterdir())
    assert sorted(path.name for path in (out / "fused").iterdir()) == names
    for name in names:
        assert (out / "fused" / name).read_bytes() == (local / "fused" / name).read_bytes()


def bags_in_hand(out: Path) -> set[str]:
    """Names of the output bags that somebody is writing."""
    return {path.name[1:].rpartition(".")[0] for path in (out / "fused").glob(".*")} if out.exists() else set()


def workers() -> list[int]:
    """Processes of this test's cluster that are at work on a shard."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(") ")[2].split()[1])
        except OSError:  # it has ended
            continue

    def is_ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return [pid for pid in parents if is_ours(pid) and b"ray::_work" in Path(f"/proc/{pid}/cmdline").read_bytes()]


class InTheMiddle(threading.Thread):
    """Strikes while bags are being evaluated, until one of them was in hand and is not done.

    Attributes:
        ended: to be set when the evaluation has ended.
        struck: names of the output bags that were being written then, and are not there right afterwards.
    """

    def __init__(self, out: Path, strike: Callable[[], None]) -> None:
        super().__init__()
        self._out, self._strike = out, strike
        self.struck: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set() and not self.struck:
            in_hand = bags_in_hand(self._out)
            if in_hand:
                self._strike()
                self.struck = {name for name in in_hand if not (self._out / "fused" / name).exists()}
            self.ended.wait(0.01)


def kill_workers() -> None:
    for pid in workers():
        os.kill(pid, signal.SIGKILL)


def take_a_machine(cluster: Cluster) -> None:
    for node in list(cluster.worker_nodes)[:1]:
        cluster.remove_node(node, allow_graceful=False)


def test_a_cluster_gives_the_local_result(
    cluster: Cluster, bags: list[Path], local: Path, model: Path, tmp_path: Path
) -> None:
    assert evaluate(bags, model, tmp_path, "--engine", "ray") == 0
    assert_same(tmp_path, local)


def test_frames_are_sharded(cluster: Cluster, model: Path, tmp_path: Path) -> None:
    import cv2

    for kind, topic in (("visible", bag_maker.VISIBLE), ("thermal", bag_maker.THERMAL)):
        (tmp_path / kind).mkdir()
        for n in range(17):
            cv2.imwrite(str(tmp_path / kind / f"{n:02d}.png"), bag_maker.picture(n / 10, topic, False))
    folders = ["--visible", str(tmp_path / "visible"), "--thermal", str(tmp_path / "thermal"), "--model", str(model)]
    for engine in ("ray", "local"):
        out = ["--json", str(tmp_path / f"{engine}.json"), "--engine", engine, "--jobs", "1"]
        assert cli.main(["evaluate", "fusion", *folders, *out]) == 0
    assert (tmp_path / "ray.json").read_bytes() == (tmp_path / "local.json").read_bytes()


def test_broken_input_is_the_same_sentence(
    cluster: Cluster, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([tmp_path / "missing"], model, tmp_path, "--engine", "ray", "-o", str(tmp_path / "o.mcap")) == 2
    assert "missing: no such bag" in capfd.readouterr().err


@pytest.mark.parametrize("what", ["worker", "machine"])
def test_killed_in_the_middle_nothing_is_lost_or_counted_twice(
    what: str, cluster: Cluster, bags: list[Path], local: Path, model: Path, tmp_path: Path
) -> None:
    strike = kill_workers if what == "worker" else lambda: take_a_machine(cluster)
    for number in range(3):  # a blow may come when the bag in hand is done
        out = tmp_path / str(number)
        out.mkdir()
        killer = InTheMiddle(out, strike)
        killer.start()
        assert evaluate(bags, model, out, "--engine", "ray") == 0
        killer.ended.set()
        killer.join()
        assert_same(out, local)
        if killer.struck:
            break
    assert killer.struck


def test_no_cluster_at_the_address_is_one_sentence(
    bags: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert evaluate(bags[:1], model, tmp_path, "--engine", "ray", "-o", str(tmp_path / "o.mcap")) == 2
    error = capsys.readouterr().err
    assert "no cluster at RAY_ADDRESS" in error
