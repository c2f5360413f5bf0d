"""Figures of maps, on answers whose cause is known."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros.explain.scores import agreement, contributions, deletion_and_insertion, random_order
from vi_fusion_ros.training.datasets.base import Box

REGION = np.s_[32:64, 64:96]
VISIBLE = np.full((1, 3, 96, 128), 0.2, np.float32)
THERMAL = np.full((1, 1, 96, 128), 0.2, np.float32)
THERMAL[0, 0][REGION] = 1


def answer(visible: np.ndarray, thermal: np.ndarray) -> float:
    """Sure where the thermal image is bright in the region, whatever else there is."""
    return float(thermal[0, 0][REGION].mean())


def map_of(region: tuple) -> np.ndarray:
    found = np.zeros((96, 128), np.float32)
    found[region] = 1
    return found


def test_a_map_of_the_cause_deletes_fast_and_inserts_fast() -> None:
    right = deletion_and_insertion(answer, VISIBLE, THERMAL, map_of(REGION))
    wrong = deletion_and_insertion(answer, VISIBLE, THERMAL, 1 - map_of(REGION))
    chance = deletion_and_insertion(answer, VISIBLE, THERMAL, random_order((96, 128)))
    assert right["deletion"] < 0.1 < chance["deletion"] < wrong["deletion"]
    assert right["insertion"] > chance["insertion"] > wrong["insertion"]
    assert all(0 <= value <= 1 for row in (right, wrong, chance) for value in row.values())


def test_the_random_order_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(random_order((50, 70)), random_order((50, 70)))
    assert random_order((50, 70)).shape == (50, 70)


def test_contributions_are_shapley_values() -> None:
    found = contributions(answer, VISIBLE, THERMAL)
    assert found == {"visible": pytest.approx(0), "thermal": pytest.approx(1), "neither": pytest.approx(0)}

    def needs_both(visible: np.ndarray, thermal: np.ndarray) -> float:
        return 0.1 + 0.8 * float(visible.any() and thermal.any())

    shared = contributions(needs_both, VISIBLE, THERMAL)
    assert shared == {"visible": pytest.approx(0.4), "thermal": pytest.approx(0.4), "neither": pytest.approx(0.1)}
    assert sum(shared.values()) == pytest.approx(needs_both(VISIBLE, THERMAL))


def test_agreement_with_boxes() -> None:
    box = Box("person", 64, 32, 96, 64)
    assert agreement(map_of(REGION), [box]) == {"energy": 1.0, "area": 1 / 12, "pointing": True}
    flat = agreement(np.ones((96, 128), np.float32), [box])
    assert flat is not None
    assert flat["energy"] == pytest.approx(flat["area"])
    assert agreement(map_of(np.s_[:10, :10]), [box]) == {"energy": 0.0, "area": 1 / 12, "pointing": False}
    assert agreement(np.zeros((96, 128), np.float32), [box]) == {"energy": 0.0, "area": 1 / 12, "pointing": False}
    assert agreement(map_of(REGION), []) is None
