"""Judging a recipe on sets that it never saw, on made data."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training import leave_one_out as judging  # noqa: E402
from vi_fusion_ros.training.config import SetConfig  # noqa: E402
from vi_fusion_ros.training.datasets.labels import LABELS  # noqa: E402

GROUPS = {"street": ("street",), "campus": ("campus",)}
MODES = ("both", "visible_only", "thermal_only")


@pytest.fixture(autouse=True)
def groups(monkeypatch):
    monkeypatch.setattr(judging, "GROUPS", GROUPS)


def made_scores(count=400):
    """Two groups whose scores are right; those of the second lie higher by 3."""
    rng = np.random.default_rng(0)
    present = (rng.random((count, 3)) < 0.5).astype(np.float32)
    group = np.arange(count) % 2
    logits = rng.normal(4 * present - 2, 1) + 3 * group[:, None]
    known = np.ones_like(present)
    known[:, 2] = group == 0
    light = np.arange(count) % 2
    return judging.Scores(dict.fromkeys(MODES, logits), light, present, known, np.where(group, 1, -1), group)


def test_a_network_is_trained_without_each_group_and_judged_on_it(config, street_root, tmp_path):
    shutil.copytree(street_root, tmp_path / "campus")
    street = config.data.sets["street"]
    campus = dataclasses.replace(street, path=street.path.with_name("campus"), test=())
    optim = dataclasses.replace(config.optim, epochs=1, steps=1)
    data = dataclasses.replace(config.data, sets={"street": street, "campus": campus})
    patches = dataclasses.replace(config.patches, patches=0)
    made = judging.leave_one_out(dataclasses.replace(config, data=data, optim=optim, patches=patches))
    assert sorted(path.name for path in (config.runs / "smoke").iterdir()) == ["without-campus", "without-street"]
    assert made["recipe"] == {"name": "smoke", "steps": 1, "seed": 0}
    assert {name: row["frames"] for name, row in made["figures"].items()} == {"all": 48, "street": 24, "campus": 24}
    assert set(made["figures"]["all"]) == {"frames", "illumination", *MODES}
    assert set(made["calibration"]["bias"]) == set(MODES)
    assert set(made["calibration"]["thresholds"]["both"]) == set(LABELS)


def test_figures_come_from_the_other_groups_calibration():
    rows = judging.figures(made_scores())
    assert rows["street"]["both"]["car"]["auc"] > 0.98
    # What is calibrated on scores that lie higher calls too little here, and the other way round.
    assert rows["street"]["both"]["car"]["recall"] < 0.5 < rows["street"]["both"]["car"]["recall_at_5"]
    assert rows["campus"]["both"]["car"]["false_alarms"] > 0.5
    assert rows["all"]["both"]["car"]["ece"] > 0.2
    low, high = rows["all"]["both"]["car"]["auc_ci95"]
    assert low < rows["all"]["both"]["car"]["auc"] < high


def test_what_is_unknown_takes_no_part():
    rows = judging.figures(made_scores())
    assert rows["all"]["both"]["bicycle"]["frames"] == 200
    assert rows["campus"]["both"]["bicycle"] == {"frames": 0, "with": 0}
    assert rows["street"]["illumination"]["day"] == {"frames": 0, "right": None}
    assert rows["campus"]["illumination"]["night"] == {"frames": 200, "right": 1.0}


def test_a_configuration_without_the_groups_is_one_sentence(config):
    other = {"mine": SetConfig(config.data.sets["street"].path)}
    with pytest.raises(ValueError, match="the configuration has none of the sets street, campus"):
        judging.leave_one_out(dataclasses.replace(config, data=dataclasses.replace(config.data, sets=other)))
