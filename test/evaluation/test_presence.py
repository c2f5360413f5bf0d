"""Figures of presence: known answers, scikit-learn's, and the command over real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from vi_fusion_ros.evaluation.metrics.presence import STATISTICS, figures, statistics
from vi_fusion_ros.evaluation.prediction import MODALITIES, Judged, Verdict
from vi_fusion_ros.training.datasets.base import Sample

LABELS = ("person", "car")


def one_label(probability: list[float], present: list[bool], threshold: float = 0.5) -> dict[str, float]:
    weights = np.ones((1, len(present)))
    values = statistics(weights, np.array(probability), np.array(present), threshold)[0]
    return dict(zip(STATISTICS, values.tolist(), strict=True))


def judged(rows: list[tuple[set[str], set[str], list[float]]], light: str | None = "day") -> Judged:
    """Samples of (present, known, probabilities)."""
    samples = [
        Sample(str(i), Path(), Path(), frozenset(present), frozenset(known), (), light)
        for i, (present, known, _) in enumerate(rows)
    ]
    verdicts = [Verdict(np.tile(p, (len(MODALITIES), 1)), "day", (20, 20)) for *_, p in rows]
    return Judged("roadscene", LABELS, np.full((len(MODALITIES), 2), 0.5), samples, verdicts)


def test_known_answers() -> None:
    # Present: .9 .8 .3; absent: .7 .4 .2 .1. Of 12 pairs, 9 + 1 are in order: .9 and .8 above all, .3 above two.
    found = one_label([0.9, 0.8, 0.3, 0.7, 0.4, 0.2, 0.1], [True] * 3 + [False] * 4)
    assert found["roc_auc"] == pytest.approx(10 / 12)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["false_alarm_rate"] == pytest.approx(1 / 4)
    assert found["recall_at_5"] == found["recall_at_10"] == pytest.approx(2 / 3)  # no false alarm is allowed in four


def test_recall_at_a_false_alarm_rate_uses_all_that_is_allowed() -> None:
    absent = [0.95, *np.linspace(0.1, 0.4, 19)]
    present = [0.9, 0.6, 0.39, 0.05]
    found = one_label([*present, *absent], [True] * 4 + [False] * 20)
    assert found["recall_at_5"] == 0.5  # one of 20 may be wrong: the one at .95
    assert found["recall_at_10"] == 0.75  # and the one at .4


def test_the_threshold_itself_counts_as_present_and_ties_count_half() -> None:
    found = one_label([0.5, 0.5], [True, False])
    assert found == {"roc_auc": 0.5, "recall": 1, "false_alarm_rate": 1, "recall_at_5": 0, "recall_at_10": 0}
    silent = one_label([0.4, 0.1], [True, False])
    assert (silent["recall"], silent["false_alarm_rate"]) == (0, 0)


def test_without_a_frame_on_one_side_only_the_other_is_defined() -> None:
    found = one_label([0.9, 0.2], [False, False])
    assert found["false_alarm_rate"] == 0.5
    assert np.isnan([found[name] for name in STATISTICS if name != "false_alarm_rate"]).all()
    assert np.isnan(one_label([0.9], [True])["recall_at_5"])
    assert np.isnan(list(one_label([], []).values())).all()


def test_against_scikit_learn_and_repetition() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    probability, present = rng.random(200).round(2), rng.random(200) < 0.3
    probability[present] = (probability[present] + 0.2).clip(0, 1)
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    values = statistics(weights, probability, present, 0.6)
    for row, weight in zip(values, weights, strict=True):
        drawn = np.repeat(np.arange(200), weight.astype(int))
        assert row[0] == pytest.approx(metrics.roc_auc_score(present[drawn], probability[drawn]))
        np.testing.assert_allclose(row, list(one_label(probability[drawn], present[drawn], 0.6).values()))
        false, true, _ = metrics.roc_curve(present[drawn], probability[drawn], drop_intermediate=False)
        assert row[3] == pytest.approx(true[false <= 0.05].max())


def test_unknown_labels_and_conditions_are_left_out() -> None:
    both = {"person", "car"}
    rows = [({"person"}, both, [0.9, 0.2]), (set(), {"person"}, [0.1, 0.99]), ({"car"}, {"car"}, [0.99, 0.8])]
    result = figures(judged(rows), "both", np.ones(3, bool))
    person, car = result["labels"].values()
    assert (person["present"], person["absent"], car["present"], car["absent"]) == (1, 1, 1, 1)
    assert person["roc_auc"] == car["roc_auc"] == result["mean"]["roc_auc"] == 1
    assert person["ece"] == pytest.approx(0.1)
    assert person["reliability"] == [
        {"n": 1, "probability": 0.1, "frequency": 0}, {"n": 1, "probability": 0.9, "frequency": 1}
    ]  # fmt: skip
    alone = judged(rows)
    alone.verdicts[0].probabilities[0] = np.nan  # an image of one camera, which has no verdict of both
    assert figures(alone, "both", np.ones(3, bool))["labels"]["person"]["present"] == 0
    assert figures(alone, "visible_black", np.ones(3, bool))["labels"]["person"]["present"] == 1
    assert figures(judged(rows), "both", np.zeros(3, bool)) == {"n": 0}


def test_intervals_hold_the_value_and_narrow_with_the_number_of_frames() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (40, 640):
        rows = []
        for i in range(count):
            present = {"person"} if i % 2 else set()
            rows.append((present, {"person"}, [float(np.clip(rng.normal(0.6 if i % 2 else 0.4, 0.15), 0, 1)), 0.5]))
        result = figures(judged(rows), "both", np.ones(count, bool))["labels"]["person"]
        for name, (low, high) in result["ci95"].items():
            assert low <= result[name] <= high
        widths.append(result["ci95"]["roc_auc"][1] - result["ci95"]["roc_auc"][0])
    assert widths[1] < 0.6 * widths[0]
