"""Metrics as a library: the front, its page, and the temporal metrics on videos whose motion is known."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vi_fusion_ros import metrics
from vi_fusion_ros.metrics import flicker_of, motion_smoothness, warping_error

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
SIZE = (96, 128)


def texture(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (SIZE[0] + 80, SIZE[1] + 80), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def moving(offsets, seed=0):
    """A textured plane seen through a window that has moved right by each of the offsets, pixels."""
    plane = texture(seed)
    return [plane[20 : 20 + SIZE[0], 20 + dx : 20 + dx + SIZE[1]].copy() for dx in offsets]


def test_every_name_of_the_front_is_there_and_importing_it_imports_nothing():
    needs_sklearn = {"calibration_error", "reliability"}
    assert all(getattr(metrics, name) is not None for name in set(metrics.__all__) - needs_sklearn)
    assert set(metrics.__all__) <= set(dir(metrics))
    with pytest.raises(AttributeError, match="no attribute 'VIF'"):
        metrics.VIF  # noqa: B018
    code = "import sys, vi_fusion_ros.metrics; print({'cv2', 'numpy', 'sklearn', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_each_metric_is_a_plain_number():
    visible, thermal = texture(0), texture(1)
    found = metrics.fusion_metrics(cv2.addWeighted(visible, 0.5, thermal, 0.5, 0), visible, thermal)
    assert set(found) == set(metrics.METRICS)
    assert {name for name, value in found.items() if type(value) is not float} == set()


def test_the_calibration_error_of_arrays():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    probability = np.repeat([0.25, 0.75], 4)
    present = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert metrics.calibration_error(probability, present) == pytest.approx(0)
    assert metrics.calibration_error(probability, ~present) == pytest.approx(0.5)
    assert [row["frequency"] for row in metrics.reliability(probability, present)] == [0.25, 0.75]


def test_the_page_says_of_each_metric_what_the_code_says():
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.read_text("utf-8").splitlines()]
    written = {row[0].strip("`"): row[1:] for row in rows if len(row) == 6}
    declared = {**metrics.METRICS, **metrics.TEMPORAL_METRICS}
    for name, metric in declared.items():
        expected = [metric.title, metric.range, metric.direction, metric.convention, metric.source]
        assert written.pop(name) == expected
    assert set(written) == {"name", "---"}  # nothing that the code does not have


def test_the_page_names_all_that_is_offered():
    named = set(re.findall(r"`(\w+)[`(]", PAGE.read_text("utf-8")))
    assert set(metrics.__all__) <= named


def test_a_plane_in_even_motion_has_next_to_no_warping_error():
    steady = warping_error(moving(range(0, 12, 2)))
    assert steady < 1.5
    frames = moving(range(0, 12, 2))
    pulsing = [frame if k % 2 else cv2.add(frame // 2, 40) for k, frame in enumerate(frames)]
    assert warping_error(pulsing) > 5 * steady


def test_noise_raises_the_warping_error_and_moving_alone_does_not():
    rng = np.random.default_rng(1)
    still, frames = moving([0] * 5), moving(range(0, 10, 2))
    noisy = [np.clip(frame + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    assert warping_error(still) == 0
    assert warping_error(noisy) > 4 * warping_error(frames)


def test_a_fused_video_that_jerks_is_less_smooth_than_one_that_moves_as_its_sources():
    visible, thermal = moving(range(0, 12, 2), seed=1), moving(range(0, 12, 2), seed=2)
    smooth = [cv2.addWeighted(a, 0.5, b, 0.5, 0) for a, b in zip(visible, thermal, strict=True)]
    jerking = moving([0, 4, 4, 8, 8, 12], seed=1)
    assert motion_smoothness(visible, [visible, thermal]) == 0
    assert motion_smoothness(smooth, [visible, thermal]) < 0.5
    assert motion_smoothness(jerking, [visible, thermal]) > 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: warping_error([]), "no pixel can be followed in 0 frames"),
        (lambda: warping_error(moving([0])), "in 1 frames; expected two frames or more"),
        (lambda: warping_error([np.zeros((96, 128, 3), np.uint8)]), r"shape \(96, 128, 3\).*expected \(H, W\) uint8"),
        (lambda: warping_error([np.zeros((20, 128), np.uint8)]), "128x20; expected at least 32x32"),
        (
            lambda: warping_error([np.zeros((40, 64), np.uint8), np.zeros((64, 40), np.uint8)]),
            "40x64 after one of 64x40",
        ),
        (lambda: motion_smoothness(moving([0, 1, 2]), []), "without a source"),
        (lambda: motion_smoothness(moving([0, 1]), [moving([0, 1])]), "of 2 frames; expected three or more"),
        (lambda: motion_smoothness([], [[]]), "of 0 frames"),
        (lambda: motion_smoothness(moving([0, 1, 2]), [moving([0, 1])]), "ends after 2 frames"),
        (lambda: motion_smoothness(moving([0]), [[np.zeros((40, 64), np.uint8)]]), "128x96 and 64x40"),
        (lambda: flicker_of([{"visible": np.zeros((40, 64), np.uint8)}]), "without thermal"),
    ],
)
def test_videos_that_cannot_be_measured(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_flicker_of_arrays_is_that_of_results():
    still = np.full(SIZE, 100, np.uint8)
    row = flicker_of({"visible": still, "thermal": still, "ours": still + np.uint8(4 * (k % 2))} for k in range(4))
    assert (row["n"], row["static_share"]) == (3, 1.0)
    assert row["ours"] == {"pixel": 4.0, "local": 4.0}
    assert row["visible"] == {"pixel": 0.0, "local": 0.0}
