"""``vi-fusion benchmark node`` in a short run: figures of a node that really ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from harness import next_domain

from vi_fusion_ros.node.parameters import declaration
from vi_fusion_ros.tools import bench_node, bench_profile
from vi_fusion_ros.tools.bench_node import PARTS, PARTS_METHOD, Conditions, profile_of
from vi_fusion_ros.tools.bench_profile import ENGINE, Profile

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


def test_the_profile_is_that_of_a_node_that_published_pairs():
    found = profile_of(Conditions(2.0, 160, 128, 20.0, 1, 16), next_domain())
    by_part = {part: ms for part, ms in found.items() if part not in ("all", "other_threads")}
    expected = set(bench_profile.PARTS) - {"depth_taken"}  # no camera of the benchmark has depth
    assert set(by_part) == expected
    assert min(by_part.values()) > 0
    assert sum(by_part.values()) + found["other_threads"] == pytest.approx(found["all"], abs=0.01)


def test_depth_is_measured_beside_the_plane(monkeypatch):
    monkeypatch.setattr(bench_node, "DEPTH_METHODS", ("max",))
    monkeypatch.setattr(bench_node, "DEPTH_RUNS", ("plane", "depth"))
    monkeypatch.setenv("ROS_DOMAIN_ID", str(next_domain()))
    # It raises where the node did not use the depth.
    found = bench_node.benchmark_depth(Conditions(1.0, 160, 120, 20.0, 1, 16))["methods"]["max"]
    assert list(found) == ["plane", "depth"]
    assert all(run["published"] > 0 for run in found.values())


def test_a_part_costs_what_is_not_spent_in_the_parts_it_calls(monkeypatch):
    now = [0]
    monkeypatch.setattr(bench_profile.time, "thread_time_ns", lambda: now[0])
    monkeypatch.setattr(bench_profile.time, "process_time_ns", lambda: 10**9 + now[0])
    profile = Profile()

    def work(milliseconds):
        now[0] += milliseconds * 10**6

    inner = profile.timed(ENGINE, work)

    def fused(milliseconds):
        work(milliseconds)
        inner(5)
        inner(2)

    outer = profile.timed("decoding_and_bookkeeping", fused)
    outer(100)
    profile.count_pair()  # the profile begins here
    assert profile.per_pair_ms() == {}
    for _ in range(2):
        outer(3)
        work(4)  # in no part
        profile.count_pair()
    assert profile.per_pair_ms() == {"decoding_and_bookkeeping": 3, ENGINE: 7, "other_threads": 4, "all": 14}


def test_a_part_that_raises_is_counted_and_raises(monkeypatch):
    now = [0]
    monkeypatch.setattr(bench_profile.time, "thread_time_ns", lambda: now[0])
    profile = Profile()
    profile.count_pair()

    def fail():
        now[0] += 10**6
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        profile.timed("health", fail)()
    profile.count_pair()
    assert profile.per_pair_ms()["health"] == 1
