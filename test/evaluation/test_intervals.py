"""Bootstrap intervals and ranks."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_means, places


def test_the_interval_is_that_of_the_normal_mean() -> None:
    values = np.random.default_rng(1).normal(10, 2, (400, 1))
    low, high = bootstrap_means(values)[:, 0]
    error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.03)


def test_the_interval_is_the_same_each_time_and_closed_for_a_constant() -> None:
    values = np.column_stack([np.full(20, 3.0), np.arange(20.0)])
    np.testing.assert_array_equal(bootstrap_means(values), bootstrap_means(values))
    np.testing.assert_allclose(bootstrap_means(values)[:, 0], 3)


def test_a_column_that_is_not_finite_has_no_interval_and_harms_no_other() -> None:
    values = np.column_stack([np.arange(5.0), [1, np.inf, 1, 1, 1]])
    low, high = bootstrap_means(values)
    assert np.isnan([low[1], high[1]]).all()
    assert low[0] < 2 < high[0]


def test_one_row_has_an_interval_of_no_width() -> None:
    np.testing.assert_allclose(bootstrap_means(np.array([[4.0]])), 4)


def test_places_with_ties() -> None:
    values = np.array([[3.0], [1.0], [3.0], [2.0]])
    np.testing.assert_allclose(places(values, np.ones(4, bool))[:, 0], [1.5, 4, 1.5, 3])


def test_who_does_not_contend_takes_a_place_and_moves_nobody() -> None:
    values = np.array([[9.0], [5.0], [4.0], [4.5]])
    contenders = np.array([False, True, True, False])
    np.testing.assert_allclose(places(values, contenders)[:, 0], [1, 1, 2, 2])
