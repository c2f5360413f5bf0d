"""An evaluation that is killed leaves what was there before, and the next one is as if nothing had been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from bag_maker import THERMAL, VISIBLE, streams, write_bag

from vi_fusion_ros import cli


def test_a_killed_evaluation_leaves_nothing_half_written(tmp_path: Path, model: Path) -> None:
    bag, results = write_bag(tmp_path / "bag", streams(1)), tmp_path / "results"
    results.mkdir()
    arguments = ["evaluate", "bag", str(bag), "--visible-topic", VISIBLE, "--thermal-topic", THERMAL]
    arguments += ["--model", str(model), "--jobs", "1", "-o", str(results / "fused.mcap")]
    arguments += ["--json", str(results / "out.json")]
    before = {"out.json": b'{"old": 1}', "fused.mcap": b"the old bag"}
    for name, content in before.items():
        (results / name).write_bytes(content)
    process = subprocess.Popen([sys.executable, "-m", "vi_fusion_ros.cli", *arguments], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(results.glob(".fused.mcap.*/*")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it could be killed"
    assert {name: (results / name).read_bytes() for name in before} == before

    assert cli.main(arguments) == 0
    assert json.loads((results / "out.json").read_text())["n"] == 30
    assert sorted(path.name for path in results.iterdir()) == ["fused.mcap", "out.json"]
