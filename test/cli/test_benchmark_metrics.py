"""``vi-fusion benchmark metrics`` measures what it says."""

from __future__ import annotations

import json

import pytest

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.metrics.fusion import METRICS


def test_json_has_rates_of_all_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "metrics", "--frames", "1", "--jobs", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"] == list(METRICS)
    assert set(result["frames_per_s"]) == set(result["cpu_ms_per_frame"]) == {"one_method", "five_methods"}
    assert all(rate > 0 for rate in result["frames_per_s"].values())


def test_no_frame_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "metrics", "--frames", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err
