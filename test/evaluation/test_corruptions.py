"""Corruptions: five rising severities, the same whenever and wherever they are made."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from vi_fusion_ros.evaluation.studies.corruptions import CORRUPTIONS, SEVERITIES, displaced, generator


def image(camera: str) -> np.ndarray:
    shape = (60, 90, 3) if camera == "visible" else (60, 90)
    noise = np.random.default_rng(0).normal(size=shape)
    return np.clip(110 + 400 * cv2.GaussianBlur(noise, (0, 0), 3), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_is_farther_from_the_image_than_the_one_before(name: str) -> None:
    clean = image(CORRUPTIONS[name].camera)
    errors = []
    for severity in range(1, SEVERITIES + 1):
        bad = CORRUPTIONS[name](clean, severity, generator(0, "frame", name))
        assert bad.shape == clean.shape
        assert bad.dtype == np.uint8
        errors.append(float(np.abs(bad.astype(float) - clean).mean()))
    assert errors[0] > 0
    assert errors == sorted(errors)
    assert len(CORRUPTIONS[name].strengths) == SEVERITIES


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_image_and_another_frame_another(name: str) -> None:
    corruption = CORRUPTIONS[name]
    clean = image(corruption.camera)
    made = [corruption(clean, 3, generator(7, frame, name)) for frame in ("a", "a", "b")]
    np.testing.assert_array_equal(made[0], made[1])
    if name.endswith(("noise", "low_light", "dead_pixels")):
        assert (made[0] != made[2]).any()


def test_stripes_are_columns_and_dead_pixels_as_many_as_said() -> None:
    flat = np.full((400, 500), 128, np.uint8)
    striped = CORRUPTIONS["thermal_stripe_noise"](flat, 5, generator(0, "f", ""))
    assert (striped == striped[0]).all()
    assert np.unique(striped[0]).size > 10
    dead = CORRUPTIONS["thermal_dead_pixels"](flat, 5, generator(0, "f", ""))
    assert (dead != flat).mean() == pytest.approx(0.1, abs=0.01)
    assert set(np.unique(dead)) == {0, 128, 255}


def test_haze_follows_koschmieder_and_low_contrast_keeps_the_mean() -> None:
    clean = image("visible")
    hazy = CORRUPTIONS["visible_haze"](clean, 5, generator(0, "f", ""))
    np.testing.assert_allclose(hazy, clean * 0.2 + 0.85 * 0.8 * 255, atol=0.51)
    flatter = CORRUPTIONS["thermal_low_contrast"](image("thermal"), 5, generator(0, "f", ""))
    assert flatter.mean() == pytest.approx(image("thermal").mean(), abs=1)
    assert flatter.std() == pytest.approx(0.1 * image("thermal").std(), rel=0.1)


@pytest.mark.parametrize("distance", [2, 8])
def test_displacement_has_its_length_and_no_empty_border(distance: int) -> None:
    clean = np.full((80, 80), 50, np.uint8)
    clean[40, 40] = 250
    moved = displaced(clean, distance, generator(1, "f", ""))
    y, x = np.argwhere(moved == 250)[0]
    assert np.hypot(y - 40, x - 40) == pytest.approx(distance, abs=0.8)
    assert moved.min() == 50


def test_no_torch_is_imported() -> None:
    code = "import sys, vi_fusion_ros.evaluation.studies.robustness; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
