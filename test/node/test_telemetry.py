import numpy as np
import pytest

from vi_fusion_ros.node.status.telemetry import STAGES, LatencyWindow, RateMeter, SkewWindow

SECOND = 1_000_000_000


def test_rate_of_a_regular_stream():
    meter = RateMeter(window_s=2)
    for n in range(100):
        meter.tick(n * SECOND // 30)
    assert meter.rate(99 * SECOND // 30) == pytest.approx(30, rel=0.01)


def test_rate_of_a_stopped_stream_fades_to_zero():
    meter = RateMeter(window_s=2)
    for n in range(30):
        meter.tick(n * SECOND // 30)
    assert 10 < meter.rate(2 * SECOND) < 25
    assert meter.rate(4 * SECOND) == 0


def test_rate_needs_two_events():
    meter = RateMeter()
    assert meter.rate(0) == 0
    meter.tick(5)
    assert meter.rate(6) == 0


def test_latency_percentiles_by_stage():
    window = LatencyWindow(size=100)
    assert window.percentiles() == {}
    for n in range(300):  # only the last 100 count
        window.add({"infer": n, "total": 2 * n})
    result = window.percentiles()
    assert tuple(result) == STAGES
    assert result["infer"].p50 == pytest.approx(np.percentile(range(200, 300), 50))
    assert result["total"].p99 == pytest.approx(2 * np.percentile(range(200, 300), 99))
    assert result["decode"] == (0, 0, 0)


def test_skew_summary():
    window = SkewWindow()
    assert window.summary() == (0, 0, 0)
    for skew in (-0.01, 0.03):
        window.add(skew)
    assert window.summary() == pytest.approx((0.01, 0.02, 0.03))
