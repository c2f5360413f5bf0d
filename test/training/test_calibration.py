"""Temperatures, biases and thresholds, on data whose probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.training.classification import calibration_error, sigmoid
from vi_fusion_ros.training.datasets.base import Box
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.release.calibration import (
    NEVER,
    Platt,
    calibrate,
    calibrate_objects,
    fit_platt,
    threshold_for,
)


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.0, -2.0), (2.5, -3.0), (6.0, 4.0), (0.4, 1.5)])
def test_the_temperature_and_bias_of_drawn_labels_are_found_again(temperature, bias):
    rng = np.random.default_rng(0)
    scores = rng.normal(bias, 3 * temperature, 20000)
    truth = rng.random(20000) < sigmoid((scores - bias) / temperature)
    found = fit_platt(scores, truth)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.bias == pytest.approx(bias, abs=0.1 * temperature)
    assert calibration_error(found(scores), truth.astype(float)) < 0.01


def test_scores_that_are_no_guide_or_too_few_stay_as_they_are():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 500)
    assert fit_platt(scores, scores < 0) == Platt(1.0, 0.0)
    assert fit_platt(scores[:20], np.arange(20) < 7) == Platt(1.0, 0.0)
    assert fit_platt(scores, scores < 99) == Platt(1.0, 0.0)


def test_scores_that_part_perfectly_stay_finite():
    scores = np.array([-4.0] * 20 + [4.0] * 20)
    found = fit_platt(scores, scores > 0)
    assert 0 < found.temperature < 10
    assert found(scores)[0] < 0.1 < 0.9 < found(scores)[-1]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_no_more_than_the_share_of_frames_without_the_label_is_called(share):
    truth = np.arange(400) % 2 == 0
    probability = 0.6 * np.random.default_rng(0).random(400) + 0.3 * truth
    threshold = threshold_for(probability, truth, share)
    called = probability[~truth] >= threshold
    assert called.mean() <= share
    assert called.sum() >= int(share * 200) - 1  # and no threshold is higher than it has to be
    assert threshold_for(probability[:10], truth[:10]) == 0.5


def test_a_label_that_the_scores_hardly_tell_is_not_called():
    truth = np.arange(400) % 2 == 0
    chance = 0.9 * np.random.default_rng(0).random(400)
    assert threshold_for(chance, truth) == NEVER
    assert threshold_for(chance + 0.5 * truth, truth) < 0.95
    assert threshold_for(chance[:30], truth[:30] & (np.arange(30) < 10)) < NEVER  # five with the label tell nothing


def test_a_threshold_is_never_out_of_reach():
    assert threshold_for(np.ones(50), np.zeros(50, bool)) == pytest.approx(0.99)


def test_every_mode_and_label_has_its_own_calibration_from_what_is_known():
    rng = np.random.default_rng(0)
    present = (rng.random((4000, 3)) < 0.4).astype(np.float32)
    known = np.ones_like(present)
    known[:, 2] = 0
    scores = {"both": rng.normal(8 * present - 4, 2), "visible_only": rng.normal(present, 2)}
    made = calibrate(scores, present, known)
    assert made.keys() == {"temperature", "bias", "thresholds"}
    for rows in made.values():
        assert rows.keys() == scores.keys()
        assert list(rows["both"]) == list(LABELS)
    assert made["temperature"]["visible_only"]["car"] > 2 * made["temperature"]["both"]["car"]
    last = LABELS[2]
    assert [made[key]["both"][last] for key in ("temperature", "bias", "thresholds")] == [1.0, 0.0, 0.5]


def test_objects_are_calibrated_by_whether_a_box_of_their_label_is_under_them():
    car, person = LABELS.index("car"), LABELS.index("person")
    box = Box("car", 0, 0, 10, 10)
    found, truth = [], []
    for number in range(30):
        rows = [
            (car, 3.0 + 0.01 * number, 0, 0, 10, 10),
            (car, 2.0, 0, 0, 10, 9),  # the same car once more
            (car, -3.0, 50, 50, 60, 60),
            (person, -2.0, 0, 0, 10, 10),  # a car is no person
        ]
        found.append(np.array(rows, np.float64))
        truth.append([box])
    made = calibrate_objects(found, truth)
    right = Platt(made["temperature"]["car"], made["bias"]["car"])(np.array([3.0, 2.0]))
    assert right[1] < made["thresholds"]["car"] <= right[0]
    assert made["thresholds"]["person"] == 0.5
    assert made["temperature"]["bicycle"] == 1.0
