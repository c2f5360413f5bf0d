"""An evaluation that is killed leaves what was there; the same command goes on, and no frame is computed twice."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bag_maker import THERMAL, VISIBLE, streams, write_bag

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.kept_values import KeptValues

FRAMES = 150
MOST_S = 120


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs whose metrics take longer than it takes to see that the first of them are there."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for camera, shape in (("visible", (120, 160, 3)), ("thermal", (120, 160))):
        (root / camera).mkdir()
        for number in range(FRAMES):
            image = cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 1.5)
            cv2.imwrite(str(root / camera / f"{number:03d}.png"), image)
    return root


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "bag", streams(40, deep=True))


def of_folders(folders: Path, model: Path, out: Path) -> list[str]:
    cameras = ["--visible", str(folders / "visible"), "--thermal", str(folders / "thermal")]
    return ["evaluate", "fusion", *cameras, "--model", str(model), "--jobs", "1", "--json", str(out / "out.json")]


def of_bag(bag: Path, model: Path, out: Path, *more: str) -> list[str]:
    topics = ["--visible-topic", VISIBLE, "--thermal-topic", THERMAL, "--jobs", "1"]
    files = ["-o", str(out / "fused.mcap"), "--json", str(out / "out.json")]
    return ["evaluate", "bag", str(bag), *topics, "--model", str(model), *files, *more]


def killed_when(arguments: list[str], begun: Callable[[], bool]) -> None:
    """Run a command and kill it as soon as ``begun``."""
    process = subprocess.Popen([sys.executable, "-m", "vi_fusion_ros.cli", *arguments], stdout=subprocess.DEVNULL)
    end = time.monotonic() + MOST_S
    while not begun() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it could be killed"


def frames_in(out: Path) -> int:
    """Values that the part folder of ``out.json`` holds."""
    files = list((out / ".out.json.part").glob("001_*"))
    return sum(file.stat().st_size > 0 for file in files)


def result_of(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    result.pop("timings", None)  # the one part that no two runs share
    return result


def test_a_killed_evaluation_of_folders_goes_on(
    folders: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli.main(of_folders(folders, model, whole)) == 0
    out.mkdir()
    (out / "out.json").write_text("of before")
    killed_when(of_folders(folders, model, out), lambda: frames_in(out) > 0)
    assert (out / "out.json").read_text() == "of before"
    kept = KeptValues(next((out / ".out.json.part").glob("001_*"))).values
    assert 0 < len(kept) < FRAMES
    capsys.readouterr()

    assert cli.main(of_folders(folders, model, out)) == 0
    said = re.search(r"fusion metrics: (\d+) of 150 were computed by a call that did not end", capsys.readouterr().err)
    assert said is not None
    assert int(said[1]) == len(kept)
    assert result_of(out / "out.json") == result_of(whole / "out.json")
    assert [path.name for path in out.iterdir()] == ["out.json"]


def test_what_was_kept_of_another_model_or_of_other_images_is_not_used(
    folders: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_model = pytest.importorskip("tiny_model")
    other = tiny_model.write_model(tmp_path / "other.onnx", logits_factor=2.0)
    killed_when(of_folders(folders, model, tmp_path), lambda: frames_in(tmp_path) > 0)
    few = tmp_path / "few"
    for camera in ("visible", "thermal"):
        (few / camera).mkdir(parents=True)
        (few / camera / "000.png").write_bytes((folders / camera / "000.png").read_bytes())
    part = tmp_path / ".out.json.part"
    kept = {path.name: path.read_bytes() for path in part.iterdir()}
    for arguments in (of_folders(few, model, tmp_path), of_folders(few, other, tmp_path)):
        part.mkdir(exist_ok=True)
        for name, content in kept.items():
            (part / name).write_bytes(content)
        assert cli.main(arguments) == 0
        assert "did not end" not in capsys.readouterr().err
    image = next((few / "visible").iterdir())
    before = (part.parent / "out.json").read_text()
    image.write_bytes((folders / "visible" / "001.png").read_bytes())
    assert cli.main(of_folders(few, other, tmp_path)) == 0
    assert (tmp_path / "out.json").read_text() != before


def test_a_killed_evaluation_of_a_bag_goes_on(
    bag: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli.main(of_bag(bag, model, whole)) == 0
    assert result_of(whole / "out.json")["n"] == 1200
    out.mkdir()
    before = {"out.json": b'{"old": 1}', "fused.mcap": b"the old bag"}
    for name, content in before.items():
        (out / name).write_bytes(content)
    killed_when(of_bag(bag, model, out), lambda: (out / ".out.json.part/bag/state").exists())
    assert {name: (out / name).read_bytes() for name in before} == before
    capsys.readouterr()

    assert cli.main(of_bag(bag, model, out)) == 0
    said = re.search(r"bag: (\d+) pairs were fused by a call that did not end", capsys.readouterr().err)
    assert said is not None
    assert 100 <= int(said[1]) < 1200
    assert result_of(out / "out.json") == result_of(whole / "out.json")
    assert (out / "fused.mcap").read_bytes() == (whole / "fused.mcap").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["fused.mcap", "out.json"]


def test_a_bag_that_was_killed_early_is_begun_anew(bag: Path, model: Path, tmp_path: Path) -> None:
    killed_when(of_bag(bag, model, tmp_path), lambda: bool(list(tmp_path.glob(".fused.mcap.*/*"))))
    assert cli.main(of_bag(bag, model, tmp_path)) == 0
    assert result_of(tmp_path / "out.json")["n"] == 1200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fused.mcap", "out.json"]


def test_the_processes_of_a_killed_evaluation_end_with_it(folders: Path, model: Path, tmp_path: Path) -> None:
    workers: list[int] = []

    def begun() -> bool:
        if frames_in(tmp_path):
            workers.extend(pid for pid, command in commands().items() if "spawn_main" in command and of_us(pid))
        return bool(workers)

    def of_us(pid: int) -> bool:
        try:
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]
            return str(tmp_path) in Path(f"/proc/{parent}/cmdline").read_text()
        except OSError:
            return False

    killed_when([*of_folders(folders, model, tmp_path), "--jobs", "2"], begun)
    assert workers
    end = time.monotonic() + MOST_S
    while set(workers) & {pid for pid, command in commands().items() if "spawn_main" in command}:
        assert time.monotonic() < end, "workers outlived what started them"
        time.sleep(0.01)


def commands() -> dict[int, str]:
    """Command lines of the processes that there are, by their ids."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            found[int(entry.name)] = (entry / "cmdline").read_text()
    return found


def test_two_processes_never_share_what_is_kept(folders: Path, model: Path, tmp_path: Path) -> None:
    arguments = of_folders(folders, model, tmp_path)
    process = subprocess.Popen([sys.executable, "-m", "vi_fusion_ros.cli", *arguments], stdout=subprocess.DEVNULL)
    end = time.monotonic() + MOST_S
    while not frames_in(tmp_path) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    try:
        second = subprocess.run(
            [sys.executable, "-m", "vi_fusion_ros.cli", *arguments], capture_output=True, text=True, check=False
        )
        assert process.poll() is None, "it had ended before the second one began"
    finally:
        process.kill()
        process.wait()
    assert second.returncode == 2
    assert "another process is evaluating into it" in second.stderr


def test_values_end_at_the_last_whole_one(tmp_path: Path) -> None:
    kept = KeptValues(tmp_path / "values")
    kept.add(3, {"a": np.arange(4.0), "b": float("nan")})
    kept.add(1, "a sentence")
    kept.close()
    whole = (tmp_path / "values").read_bytes()
    for damaged in (whole[:-1], whole[:-2] + b"xx", whole + b"\x07\0\0"):
        (tmp_path / "values").write_bytes(damaged)
        again = KeptValues(tmp_path / "values")
        assert 3 in again.values
        assert (1 in again.values) == (damaged[: len(whole)] == whole)
        again.add(2, 5)
        again.close()
        assert KeptValues(tmp_path / "values").values[2] == 5


def test_nothing_in_a_file_of_values_is_run(tmp_path: Path) -> None:
    import pickle
    import struct
    import zlib

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harm",))

    data = pickle.dumps((0, Harm()))
    (tmp_path / "values").write_bytes(struct.pack("<QI", len(data), zlib.crc32(data)) + data)
    assert KeptValues(tmp_path / "values").values == {}
    assert not (tmp_path / "harm").exists()
