"""The comparison with one camera alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training.compare import compare, macro_f1_intervals  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402


def test_intervals_hold_the_macro_f1_and_tell_a_better_way_from_a_worse_one():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=600)
    present = np.eye(3, dtype=np.float32)[truth]
    guess = np.eye(3, dtype=np.float32)[np.where(rng.random(600) < 0.3, (truth + 1) % 3, truth)]
    rows = macro_f1_intervals({"fused": present, "visible only": guess, "thermal only": present}, present)
    assert rows["fused"]["ci95"] == [1.0, 1.0]
    low, high = rows["visible only"]["ci95"]
    assert low < 0.7 < high
    low, high = rows["visible only"]["fused_ahead_ci95"]
    assert 0.2 < low < 0.3 < high < 0.4
    assert rows["thermal only"]["fused_ahead_ci95"] == [0.0, 0.0]


def test_the_ways_are_compared_and_a_checkpoint_in_the_wrong_place_is_named(config):
    optim = dataclasses.replace(config.optim, epochs=1, steps=1)
    runs = {
        name: train(dataclasses.replace(config, name=name, modality=name, optim=optim)).last
        for name in ("both", "visible", "thermal")
    }
    result = compare(runs["both"], runs["visible"], runs["thermal"])
    ways = {"fused", "visible only", "thermal only", "mean of both", "fused, thermal black", "fused, visible black"}
    assert result["crops"].keys() == result["macro_f1"].keys() == result["frames"].keys() == ways
    with pytest.raises(ValueError, match=r"last\.ckpt: trained with modality thermal; expected visible"):
        compare(runs["both"], runs["thermal"], runs["thermal"])
