"""Training on a dataset of frames alone: the object crops are cut from its boxes."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.training.config import DataConfig  # noqa: E402
from vi_fusion_ros.training.data import frames_of  # noqa: E402
from vi_fusion_ros.training.datasets.base import DatasetError  # noqa: E402
from vi_fusion_ros.training.datasets.box_crops import BoxCrops  # noqa: E402
from vi_fusion_ros.training.datasets.labels import LABELS  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.export import export  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402


def give_boxes(root, boxes):
    entries = json.loads((root / "frames.json").read_text())
    for entry in entries[:-1]:
        entry["objects"] = [{"class": label, "box_xyxy": box} for label, box in boxes]
        entry["day_night"] = "night"
    entries[-1].update(labelled=True, objects=entries[0]["objects"])
    (root / "frames.json").write_text(json.dumps(entries))


THREE = list(zip(LABELS, ([5, 5, 25, 45], [30, 10, 70, 40], [60.4, 50, 90, 90]), strict=True))


def test_a_crop_shows_its_box_cut_off_at_the_border(frames_root):
    give_boxes(frames_root, [*THREE, ("person", [1, 1, 6, 9])])
    frames = RoadSceneDataset(frames_root)
    crops = BoxCrops(frames)
    assert crops.counts() == dict.fromkeys(LABELS, 6)
    sample = next(s for s in crops.samples if s.present == {"bicycle"})
    assert (sample.name, sample.illumination, sample.order) == ("F_000#2", "night", 1)
    visible, thermal = crops.read(sample)
    whole_visible, whole_thermal = frames.read(frames.samples[0])
    np.testing.assert_array_equal(visible, whole_visible[50:80, 60:90])
    np.testing.assert_array_equal(thermal, whole_thermal[50:80, 60:90])


def test_a_box_outside_and_a_corrupt_frame_are_problems(frames_root):
    give_boxes(frames_root, [("car", [200, 10, 240, 40])])
    (frames_root / "thermal" / "F_001.png").write_bytes(b"no image")
    crops = BoxCrops(RoadSceneDataset(frames_root))
    assert not list(crops.readable())
    assert "a box of car lies outside; expected it in 96×80" in str(crops.problems[0])
    assert "corrupt or not an image" in str(crops.problems[1])


def test_a_run_on_frames_alone_is_exported_with_its_licence(config, frames_root, tmp_path):
    give_boxes(frames_root, THREE)
    data = dataclasses.replace(config.data, crops=None, licence="Made up; free.")
    manifest = export(train(dataclasses.replace(config, data=data)).last, tmp_path / "own.onnx")
    assert manifest["training"]["data"] == ["RoadScene boxes", "RoadScene"]
    assert "Made up; free." in (tmp_path / "own.md").read_text()


def test_frames_without_a_label_are_named(config, frames_root):
    data = dataclasses.replace(config.data, crops=None)
    with pytest.raises(DatasetError, match="no sample of person, bicycle; every label needs at least one"):
        train(dataclasses.replace(config, data=data))


def test_any_layout_of_frames_is_read(tmp_path):
    for kind, planes in (("Vis", 3), ("Ir", 1)):
        (tmp_path / kind).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / kind / f"{number:05d}.png"), np.zeros((20, 30, planes), np.uint8).squeeze())
    data = DataConfig(frames=tmp_path, frames_train=((0, 2),))
    assert len(frames_of(data, "train")) == 2
    with pytest.raises(DatasetError, match="frames_layout is 'm3'; expected one of crops"):
        frames_of(dataclasses.replace(data, frames_layout="m3"), "train")


def test_no_data_at_all_is_one_sentence():
    with pytest.raises(ValueError, match="neither crops nor frames"):
        DataConfig()
