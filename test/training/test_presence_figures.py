"""Figures of classification, against values worked out by hand or by scikit-learn's definitions."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.training import classification as figures


def test_macro_f1_by_hand():
    truth, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])
    assert figures.macro_f1(predicted, truth, 3) == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)


def test_roc_auc_counts_ties_half():
    score, truth = np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True])
    assert figures.roc_auc(score, truth) == pytest.approx(3.5 / 4)
    assert np.isnan(figures.roc_auc(score, truth & False))


def test_average_precision_by_hand():
    score, truth = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert figures.average_precision(score, truth) == pytest.approx((1 + 2 / 3) / 2)


def test_a_perfectly_calibrated_score_has_no_error_and_a_sure_wrong_one_has_all():
    probability = np.array([[0.5], [0.5]])
    assert figures.calibration_error(probability, np.array([[1.0], [0.0]])) == pytest.approx(0)
    assert figures.calibration_error(np.ones((4, 1)), np.zeros((4, 1))) == pytest.approx(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_drawn_labels_is_found_again(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20000, 3))
    present = (rng.random(logits.shape) < figures.sigmoid(logits / temperature)).astype(float)
    assert figures.fit_temperature(logits, present) == pytest.approx(temperature, rel=0.05)
    order = np.arange(len(logits))
    assert figures.cross_fitted_error(logits, present, order) < 0.01


@pytest.mark.filterwarnings("error")
def test_labels_of_which_nothing_is_known_have_no_precision_and_warn_of_nothing():
    nothing = np.zeros((3, 2), np.float32)
    assert np.isnan(figures.presence_report(nothing, nothing, nothing, ["person", "car"])["map"])
