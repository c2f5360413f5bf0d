"""``vi-fusion soak`` in its short form: real cameras with faults, a real node, over DDS."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from harness import next_domain

pytestmark = pytest.mark.ros

# These depend on how busy the machine is; the long form judges them on a quiet one.
TIMED = {"late", "pause", "restart"}


def soak(*arguments):
    command = [sys.executable, "-m", "vi_fusion_ros.cli", "soak", *arguments]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(next_domain())}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_half_a_minute_of_faults(tmp_path):
    out = tmp_path / "new" / "soak.json"
    done = soak("--minutes", "0.4", "--size", "320x240", "--rate", "20", "--json", str(out))
    assert done.returncode in (0, 1), done.stderr
    seen = json.loads(out.read_text())
    assert json.loads(done.stdout) == seen
    assert set(seen["violations"]) <= TIMED, seen["violations_told"]
    assert sum(seen["faults"].values()) >= 3
    assert seen["faults"]["engine"] == 5
    assert seen["faults"]["activation"] >= 10
    assert seen["received"] == seen["sent"]
    assert seen["unaccounted"] == 0
    assert seen["judged"]["outputs"] > 0
    assert seen["camera_restarts"] >= 2
    assert seen["captures_written"] > 0
    assert seen["signalled_while_writing"] == 2
    assert None not in seen["serves_again_after_s"].values()


@pytest.mark.parametrize("arguments", [("--minutes", "0"), ("--rate", "0"), ("--size", "big")])
def test_wrong_options_are_one_sentence(arguments):
    done = soak(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr
