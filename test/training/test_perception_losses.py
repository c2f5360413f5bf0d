"""Losses of perception, by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.training import perception_losses as losses  # noqa: E402


def test_unknown_presence_costs_nothing():
    logits, target = torch.tensor([[0.0, 9.0]]), torch.tensor([[1.0, 0.0]])
    assert losses.presence_loss(logits, target, torch.tensor([[1.0, 0.0]])) == pytest.approx(math.log(2))
    assert losses.presence_loss(logits, target, torch.zeros(1, 2)) == 0


def test_only_images_of_one_label_are_told_between_labels():
    logits = torch.tensor([[0.0, 0.0], [5.0, -5.0]])
    assert losses.exclusive_loss(logits, torch.tensor([[1.0, 0.0], [1.0, 1.0]])) == pytest.approx(math.log(2))
    assert losses.exclusive_loss(logits, torch.zeros(2, 2)) == 0


def test_unknown_illumination_costs_nothing():
    logits = torch.tensor([[0.0, 0.0], [9.0, -9.0]])
    assert losses.illumination_loss(logits, torch.tensor([0, -1])) == pytest.approx(math.log(2))
    assert losses.illumination_loss(logits, torch.tensor([-1, -1])) == 0


def test_right_and_unknown_places_cost_nothing_and_wrong_ones_do():
    scores = torch.tensor([[[[20.0, -20.0, 20.0]]]])
    right, unknown, wrong = (torch.tensor([[[row]]]) for row in ([1.0, 0, 1], [1.0, 0, -1], [0.0, 0, 1]))
    assert losses.centre_loss(scores, right) < 1e-6
    assert losses.centre_loss(scores, unknown) < 1e-6
    assert losses.centre_loss(scores, wrong) == pytest.approx(20 / 1.5, rel=1e-3)


def test_a_place_near_a_centre_costs_less_than_one_far_away():
    scores = torch.tensor([[[[20.0, 3.0]]]])
    near, far = (torch.tensor([[[[1.0, bell]]]]) for bell in (0.8, 0.0))
    assert losses.centre_loss(scores, near) < 0.01 * losses.centre_loss(scores, far)


def test_boxes_that_agree_cost_nothing_and_half_of_one_costs_half():
    wanted = torch.tensor([4.0, 4.0, 4.0, 4.0]).reshape(1, 4, 1, 1)
    half = torch.tensor([0.0, 4.0, 4.0, 4.0]).reshape(1, 4, 1, 1)
    there = torch.ones(1, 1, 1, 1)
    assert losses.sides_loss(wanted, wanted, there) == pytest.approx(0)
    assert losses.sides_loss(half, wanted, there) == pytest.approx(0.5)
    assert losses.sides_loss(half, wanted, there * 0) == 0


def test_each_label_has_its_own_sides():
    wanted = torch.full((1, 8, 1, 1), 4.0)
    given = wanted.clone()
    given[:, 4:] = 1.0
    first, second = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)
    assert losses.sides_loss(given, wanted, first) == pytest.approx(0)
    assert losses.sides_loss(given, wanted, second) == pytest.approx(1 - 1 / 16)
