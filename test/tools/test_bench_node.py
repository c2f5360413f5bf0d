"""``vi-fusion benchmark node`` in a short run: figures of a node that really ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from harness import next_domain

from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.tools.bench_node import PARTS, PARTS_METHOD

pytestmark = pytest.mark.ros


def benchmark(*arguments, domain):
    command = [sys.executable, "-m", "vi_fusion_ros.cli", "benchmark", "node", *arguments]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_figures_describe_the_run(tmp_path):
    out = tmp_path / "new" / "node.json"
    done = benchmark(
        "--seconds",
        "2",
        "--size",
        "160x128",
        "--rate",
        "20",
        "--threads",
        "1",
        "--json",
        str(out),
        domain=next_domain(),
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert json.loads(done.stdout) == figures
    assert figures["size"] == "160x128"
    assert figures["pairs"] > 0
    assert figures["stages_ms"]["infer"]["p50"] > 0
    for row in (figures, figures["reference"]):
        assert 0 < row["published_share"] < 1.5
        # The kernel counts in ticks of 10 ms, and the thread is read after the process.
        tick_ms = 20 / figures["pairs"]
        assert row["cpu_ms_per_pair"]["node"] + tick_ms >= row["cpu_ms_per_pair"]["main_thread"] > 0
        ages = row["end_to_end_ms"]
        assert 0 < ages["p50"] <= ages["p95"] <= ages["p99"]
    parts = ("decode", "register", "compose", "publish")
    assert figures["beside_inference_wall_ms"] == pytest.approx(
        sum(figures["stages_ms"][part]["p50"] for part in parts), abs=0.01
    )


@pytest.mark.parametrize("arguments", [("--size", "640"), ("--seconds", "0"), ("--threads", "0")])
def test_wrong_options_are_one_sentence(arguments):
    done = benchmark(*arguments, domain=next_domain())
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_left_out_is_left_out_by_parameters_of_the_node():
    assert declaration.fault("fusion.method", PARTS_METHOD) is None
    for settings in PARTS.values():
        for name, value in settings.items():
            assert declaration.fault(name, value) is None
            assert declaration.schema()[name]["default"] != value
