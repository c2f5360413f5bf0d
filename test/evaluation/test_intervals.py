"""Bootstrap intervals and ranks."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.evaluation.metrics.intervals import bootstrap_means, bootstrap_weights, known_means, places


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


def test_a_row_without_a_value_is_left_out_of_its_column() -> None:
    values = np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0]])
    np.testing.assert_allclose(known_means(values), [2, 6])
    low, high = bootstrap_means(values)
    assert 1 <= low[0] < 2 < high[0] <= 3
    np.testing.assert_allclose(low[1], bootstrap_means(values[:, 1:])[0, 0])
    empty = np.full((3, 1), np.nan)
    assert np.isnan([*known_means(empty), *bootstrap_means(empty).ravel()]).all()


def test_intervals_of_anything_that_weights_give() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400)
    by_weights = bootstrap_weights(400, lambda counts: (counts @ values / counts.sum(axis=1))[:, None])
    np.testing.assert_allclose(by_weights, bootstrap_means(values[:, None]))


def test_one_row_has_an_interval_of_no_width() -> None:
    np.testing.assert_allclose(bootstrap_means(np.array([[4.0]])), 4)


def test_places_with_ties() -> None:
    values = np.array([[3.0], [1.0], [3.0], [2.0]])
    np.testing.assert_allclose(places(values, np.ones(4, bool))[:, 0], [1.5, 4, 1.5, 3])


def test_who_does_not_contend_takes_a_place_and_moves_nobody() -> None:
    values = np.array([[9.0], [5.0], [4.0], [4.5]])
    contenders = np.array([False, True, True, False])
    np.testing.assert_allclose(places(values, contenders)[:, 0], [1, 1, 2, 2])
