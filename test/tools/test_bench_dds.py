"""The DDS benchmark measures what it says, over two real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import next_domain

pytest.importorskip("rclpy", reason="ROS 2 is not sourced")

from vi_fusion_ros.tools import bench_dds

pytestmark = pytest.mark.ros

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_counts_what_arrives():
    run = bench_dds.measure("vi_fusion_ros", "reliable", seconds=1.0, domain=next_domain())
    assert run["sent"] == 30
    # Reliable within a history of 5 images; a busy machine may lose some to that, never all.
    assert 0 < run["received"] <= run["sent"]
    latency = run["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]


def test_a_summary_is_the_median_over_runs_and_survives_silence():
    runs = [
        {"profile": profile, "reliability": reliability, "received_hz": rate, "latency_ms": latency}
        for profile in bench_dds.PROFILES
        for reliability in bench_dds.RELIABILITIES
        for rate, latency in ((0.0, {}), (10.0, {"p50": 1.0, "p99": 3.0}), (30.0, {"p50": 2.0, "p99": 5.0}))
    ]
    summary = bench_dds.summarise(runs)
    assert len(summary) == 4
    assert all(row["received_hz"] == 10.0 and row["latency_ms"] == {"p50": 1.5, "p99": 4.0} for row in summary)
    assert "| best_effort | default | 10.0 Hz | 1.5 ms | 4.0 ms |" in bench_dds.table(summary)
    nothing = [{**run, "received_hz": 0.0, "latency_ms": {}} for run in runs]
    assert "| reliable | default | 0.0 Hz | - | - |" in bench_dds.table(bench_dds.summarise(nothing))


def test_the_committed_table_is_the_committed_measurement():
    report = json.loads((ROOT / "docs" / "benchmarks" / "dds.json").read_text(encoding="utf-8"))
    assert report["summary"] == bench_dds.summarise(report["runs"])
    assert bench_dds.table(report["summary"]) in (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
