"""Few labels with and without pretraining on unlabelled pairs, on made data."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training import few_labels as experiment  # noqa: E402
from vi_fusion_ros.training.checkpoints import checkpoint_weights  # noqa: E402

BRANCHES = "perception.branches."


def test_both_ways_start_alike_but_for_the_branches_and_are_judged_on_what_was_held_back(config, monkeypatch):
    monkeypatch.setattr(experiment, "UNLABELLED", ("street",))
    monkeypatch.setattr(experiment, "SHARE", 0.5)
    optim = dataclasses.replace(config.optim, epochs=1, steps=2)
    data = dataclasses.replace(config.data, crops=None)
    patches, scenes = dataclasses.replace(config.patches, patches=0), dataclasses.replace(config.scenes, crops=0)
    made = experiment.few_labels(dataclasses.replace(config, data=data, optim=optim, patches=patches, scenes=scenes))
    assert made["frames"]["unlabelled"] == {"street": 8}
    assert made["frames"]["labelled"] == {"street": 4}
    first, second = (
        checkpoint_weights(config.runs / "smoke" / f"{arm}_start.ckpt")[1] for arm in ("as_given", "pretrained")
    )
    changed = {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}
    assert changed, "nothing was learned without labels"
    assert all(name.startswith(BRANCHES) for name in changed), "the rest has to be the same to the bit"
    assert {part: row["n"] for part, row in made["parts"].items()} == {"select": 8, "test": 8}
    for mode in ("both", "visible_only", "thermal_only"):
        rows = made["parts"]["test"][mode]
        for label in ("person", "car", "bicycle", "mean"):
            low, high = rows["as_given"][label]["ci95"]
            assert 0 <= low <= rows["as_given"][label]["auc"] <= high <= 1
            difference = rows["pretrained"][label]["auc"] - rows["as_given"][label]["auc"]
            assert rows["difference"][label]["auc"] == pytest.approx(difference)
