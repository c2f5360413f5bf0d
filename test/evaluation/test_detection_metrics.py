"""Figures of boxes: answers found by hand, and pycocotools' own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="pycocotools is not installed")

from vi_fusion_ros.evaluation.metrics import detection
from vi_fusion_ros.evaluation.metrics.detection import Scene, average_precision, figures, log_average_miss_rate, match
from vi_fusion_ros.training.datasets.base import Box, Sample

LABELS = ("person", "car")
TRUE = (10.0, 10.0, 30.0, 50.0)


def scene(
    boxes: list[tuple[str, tuple[float, float, float, float]]],
    found: list[tuple[str, float, tuple[float, float, float, float]]],
    ignored: tuple[tuple[float, float, float, float], ...] = (),
    complete: tuple[str, ...] = LABELS,
) -> Scene:
    rows = [(LABELS.index(label), probability, *box) for label, probability, box in found]
    return Scene(
        (200, 100),
        tuple(Box(label, *box) for label, box in boxes),
        tuple(Box("ignore", *box) for box in ignored),
        frozenset(complete),
        np.array(rows, float).reshape(-1, 6),
    )


def of(scenes: list[Scene], label: str = "person", intervals: bool = False) -> dict:
    return figures(match(scenes, LABELS), np.ones(len(scenes), bool), intervals)["labels"][label]


def shifted(box: tuple[float, float, float, float], dx: float) -> tuple[float, float, float, float]:
    return box[0] + dx, box[1], box[2] + dx, box[3]


FAR = (120.0, 10.0, 140.0, 50.0)


def test_average_precision_by_hand() -> None:
    # Two objects; found, the surest first: a hit (precision 1, recall .5), an alarm, a hit (2 / 3, recall 1).
    scenes = [
        scene([("person", TRUE)], [("person", 0.9, TRUE)]),
        scene([("person", TRUE)], [("person", 0.7, TRUE), ("person", 0.8, FAR)]),
    ]
    row = of(scenes)
    assert row["objects"] == 2
    expected = (51 * 1 + 50 * 2 / 3) / 101  # recalls 0 to .5, and the rest
    assert [row["ap50"], row["ap"]] == pytest.approx([expected, expected])


def test_the_overlap_decides_which_of_the_ten_count() -> None:
    # 2 of 20 pixels aside: 18 / 22 = .818 of the union, a hit at .5 to .8, seven of ten.
    row = of([scene([("person", TRUE)], [("person", 0.9, shifted(TRUE, 2))])])
    assert (row["ap50"], row["ap"]) == (pytest.approx(1), pytest.approx(0.7))
    assert of([scene([("person", TRUE)], [("person", 0.9, shifted(TRUE, 12))])])["ap50"] == 0


def test_a_second_box_on_the_same_object_is_a_false_alarm() -> None:
    twice = [scene([("person", TRUE)], [("person", 0.9, TRUE), ("person", 0.8, TRUE)])]
    matches = match(twice, LABELS)["person"]["all"]
    assert matches.hit[0].tolist() == [True, False]
    assert matches.alarm[0].tolist() == [False, True]


def test_miss_rate_by_hand() -> None:
    # Ten frames, four objects. Surest first: hit, alarm, hit, alarm, hit; one is never found.
    order = [(0.9, TRUE), (0.8, FAR), (0.7, TRUE), (0.6, FAR), (0.5, TRUE)]
    scenes = [scene([("person", TRUE)] if box is TRUE else [], [("person", p, box)]) for p, box in order]
    scenes += [scene([("person", TRUE)], [])] + [scene([], [])] * 4
    # Alarms a frame: 0, .1, .1, .2, .2; missed: .75, .75, .5, .5, .25. The nine points: .01 .0178 .0316 .0562 (.75),
    # .1 .178 (.5), .316 .562 1 (.25).
    expected = math.exp((4 * math.log(0.75) + 2 * math.log(0.5) + 3 * math.log(0.25)) / 9)
    assert of(scenes)["log_average_miss_rate"] == pytest.approx(expected)


def test_where_false_alarms_come_first_all_is_missed_at_the_low_points() -> None:
    scenes = [scene([("person", TRUE)], [("person", 0.9, FAR), ("person", 0.8, TRUE)]), scene([], [])]
    # .5 alarms a frame before the only hit: missed at seven points, found at .562 and 1.
    assert of(scenes)["log_average_miss_rate"] == pytest.approx(math.exp(2 * math.log(1e-10) / 9))
    assert of([scene([("person", TRUE)], [])])["log_average_miss_rate"] == 1


def test_sizes_are_cocos() -> None:
    large = (0.0, 0.0, 100.0, 97.0)
    row = of([scene([("person", TRUE), ("person", large)], [("person", 0.9, TRUE)])])
    assert {name: size["objects"] for name, size in row["sizes"].items()} == {"small": 1, "medium": 0, "large": 1}
    assert row["sizes"]["small"]["ap50"] == pytest.approx(1)
    assert row["sizes"]["medium"] == {"objects": 0, "ap50": None, "ap": None}
    assert row["sizes"]["large"]["ap50"] == 0


def test_what_is_found_in_an_ignored_place_counts_neither_way() -> None:
    found = [("person", 0.9, FAR), ("person", 0.8, TRUE)]
    assert of([scene([("person", TRUE)], found)])["ap50"] == pytest.approx(0.5)
    around = (110.0, 0.0, 150.0, 60.0)
    row = of([scene([("person", TRUE)], found, ignored=(around,))])
    assert row["ap50"] == pytest.approx(1)
    assert row["objects"] == 1


def test_where_not_all_objects_have_boxes_there_are_no_false_alarms() -> None:
    found = [("person", 0.9, FAR), ("person", 0.8, TRUE), ("car", 0.9, FAR)]
    scenes = [scene([("person", TRUE)], found, complete=())]
    assert of(scenes)["ap50"] == pytest.approx(1)
    assert of(scenes)["log_average_miss_rate"] is None  # which counts false alarms in whole frames
    assert of(scenes, "car") == {
        "objects": 0, "ap50": None, "ap": None, "log_average_miss_rate": None,
        "sizes": {size: {"objects": 0, "ap50": None, "ap": None} for size in ("small", "medium", "large")},
    }  # fmt: skip


def test_labels_are_judged_apart_and_a_label_without_objects_is_left_out_of_the_mean() -> None:
    scenes = [scene([("person", TRUE)], [("car", 0.9, TRUE)])]
    result = figures(match(scenes, LABELS), np.ones(1, bool), False)
    assert result["labels"]["person"]["ap50"] == 0
    assert result["labels"]["car"]["ap50"] is None
    assert result["ap50"] == 0


def test_nothing_found_and_nothing_there() -> None:
    assert of([scene([("person", TRUE)], [])])["ap50"] == 0
    assert figures(match([scene([], [])], LABELS), np.ones(1, bool), True)["ap50"] is None
    assert figures(match([scene([], [])], LABELS), np.zeros(1, bool), True) == {"n": 0}


def noisy_scenes(count: int) -> list[Scene]:
    rng = np.random.default_rng(7)
    scenes = []
    for _ in range(count):
        corners = rng.uniform(0, (150, 60), (rng.integers(0, 5), 2))
        sides = rng.uniform(5, 50, corners.shape)
        true = [tuple(map(float, (*c, *(c + s)))) for c, s in zip(corners, sides, strict=True)]
        names = [LABELS[i] for i in rng.integers(0, 2, len(true))]
        found = [
            (name, float(rng.random()), tuple(float(e + rng.normal(0, 3)) for e in box))
            for name, box in zip(names, true, strict=True)
            if rng.random() < 0.8
        ]
        found += [(LABELS[int(rng.integers(2))], float(rng.random()) * 0.8, FAR) for _ in range(rng.integers(0, 3))]
        scenes.append(scene(list(zip(names, true, strict=True)), found))
    return scenes


def test_the_figures_are_those_of_pycocotools() -> None:
    from pycocotools.cocoeval import COCOeval

    scenes = noisy_scenes(40)
    truth, found = detection._truth(scenes, LABELS), detection._found(scenes)
    coco = COCOeval(detection._coco(truth, scenes, LABELS), detection._coco(found, scenes, LABELS), "bbox")
    coco.params.areaRng = [[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]]
    coco.evaluate()
    coco.accumulate()
    precision = coco.eval["precision"][..., -1]  # IoUs, recalls, labels, areas; at most 100 boxes
    matches = match(scenes, LABELS)
    for k, label in enumerate(LABELS):
        for a, area in enumerate(detection.AREAS):
            expected = precision[:, :, k, a].mean(axis=1)
            values = average_precision(matches[label][area], np.ones(len(scenes)))
            if expected[0] == -1:
                assert np.isnan(values).all()
            else:
                np.testing.assert_allclose(values, expected, atol=1e-12)


def test_weights_are_repetitions() -> None:
    scenes = noisy_scenes(12)
    weights = np.random.default_rng(0).integers(0, 4, 12)
    repeated = [one for one, count in zip(scenes, weights, strict=True) for _ in range(count)]
    once, again = match(scenes, LABELS)["car"]["all"], match(repeated, LABELS)["car"]["all"]
    ones = np.ones(len(repeated))
    np.testing.assert_allclose(average_precision(once, weights * 1.0), average_precision(again, ones), atol=0.02)
    assert log_average_miss_rate(once, weights * 1.0) == pytest.approx(log_average_miss_rate(again, ones), abs=0.02)
    some = weights > 0
    chosen = match([one for one, there in zip(scenes, some, strict=True) if there], LABELS)["car"]["all"]
    np.testing.assert_allclose(average_precision(once, some * 1.0), average_precision(chosen, np.ones(some.sum())))


def test_intervals_hold_the_value() -> None:
    result = figures(match(noisy_scenes(30), LABELS), np.ones(30, bool), True)
    for row in (result, *result["labels"].values()):
        for key, (low, high) in row["ci95"].items():
            assert low <= row[key] <= high
            assert low < high


def test_which_labels_are_complete() -> None:
    person = frozenset({"person"})
    boxes = (Box("person", *TRUE),)
    assert detection.complete_labels(Sample("", Path(), Path(), person, person, boxes)) == person
    assert detection.complete_labels(Sample("", Path(), Path(), person, person)) == frozenset()  # present, but where?
    assert detection.complete_labels(Sample("", Path(), Path(), frozenset(), person)) == person
    assert detection.complete_labels(Sample("", Path(), Path(), person, person, boxes, complete=False)) == frozenset()
