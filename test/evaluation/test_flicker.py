"""Flicker: what moves does not count, what changes in still places does."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.evaluation.metrics.flicker import flicker
from vi_fusion_ros.types import Frame, FramePair, FusionResult


def result(visible, thermal, fused):
    pair = FramePair(Frame(visible), Frame(thermal))
    attention = np.zeros(thermal.shape, np.float32)
    return FusionResult(pair, fused, attention, thermal, None, 1.0, (), "day", 1.0, thermal_grey=thermal)


def scene():
    rng = np.random.default_rng(0)
    visible = cv2.blur(rng.integers(0, 255, (60, 80), np.uint8), (5, 5))
    return visible, cv2.blur(rng.integers(0, 255, (60, 80), np.uint8), (5, 5))


def test_a_still_scene_has_none():
    visible, thermal = scene()
    row = flicker([result(visible, thermal, thermal)] * 3)
    assert (row["n"], row["static_share"]) == (2, 1.0)
    assert row["fused"] == row["average"] == {"pixel": 0.0, "local": 0.0}


def test_a_fused_image_that_pulses_by_four_levels_shows_four():
    visible, thermal = scene()
    fused = np.clip(thermal, 0, 250)
    row = flicker([result(visible, thermal, fused + np.uint8(4 * (k % 2))) for k in range(4)])
    assert row["fused"]["local"] == pytest.approx(4.0)
    assert row["fused"]["pixel"] == pytest.approx(4.0)
    assert row["visible"]["local"] == 0


def test_a_thing_that_moves_is_not_static():
    visible, thermal = scene()
    moved = thermal.copy()
    moved[10:30, 10:30] = 255 - moved[10:30, 10:30] // 4
    row = flicker([result(visible, thermal, thermal), result(visible, moved, moved)])
    assert row["static_share"] < 0.95
    assert row["fused"]["local"] < 1.5


@pytest.mark.parametrize("frames", [0, 1])
def test_one_frame_is_no_video(frames):
    visible, thermal = scene()
    with pytest.raises(ValueError, match="no static area in 0 changes"):
        flicker([result(visible, thermal, thermal)] * frames)


def test_the_command_on_a_video(tmp_path, capsys):
    visible, thermal = scene()
    for name, image in (("v", visible), ("t", thermal)):
        writer = cv2.VideoWriter(str(tmp_path / f"{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 60))
        for _ in range(3):
            writer.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        writer.release()
    paths = ["--visible", str(tmp_path / "v.avi"), "--thermal", str(tmp_path / "t.avi")]
    out = tmp_path / "flicker.json"
    assert main(["evaluate", "flicker", *paths, "--json", str(out)]) == 0
    row = json.loads(out.read_text())
    assert row["n"] == 2
    assert row["fused"]["local"] < 0.5
    assert row["fused"]["warping_error_dis"] < 1  # a still scene
    assert row["fused"]["motion_smoothness_dis"] < 0.1
    assert "motion_smoothness_dis" not in row["thermal"]  # a source has nothing to be compared with
    assert "fused" in capsys.readouterr().out
    assert main(["evaluate", "flicker", *paths[:3], str(tmp_path / "none.avi"), "--json", str(out)]) == 2
