"""Adapters: what they read, and what they say about what they cannot read."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from vi_fusion_ros.training import data
from vi_fusion_ros.training.batches import packed
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import DataConfig, SetConfig
from vi_fusion_ros.training.datasets.base import DatasetError
from vi_fusion_ros.training.datasets.crops import CropsDataset
from vi_fusion_ros.training.datasets.labels import canonical_label
from vi_fusion_ros.training.datasets.paired import PairedFolders
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset


def test_crops_know_label_light_and_frame(crops_root):
    dataset = CropsDataset(crops_root)
    assert len(dataset) == 60
    assert dataset.counts() == {"person": 20, "car": 20, "bicycle": 20}
    sample = dataset.samples[0]
    assert (sample.order, sample.illumination) == (0, "day")
    visible, thermal = dataset.read(sample)
    assert visible.shape == (24, 20, 3)
    assert thermal.shape == (24, 20)


def test_subset_is_a_contiguous_block(crops_root):
    subset = CropsDataset(crops_root).subset(9, 15)
    assert {sample.order for sample in subset.samples} == {9, 12}
    assert isinstance(subset, CropsDataset)


def test_missing_partner_is_a_problem_with_its_path(crops_root):
    (crops_root / "day/thermal/car/00003_0.jpg").unlink()
    dataset = CropsDataset(crops_root)
    assert len(dataset) == 59
    assert [p.path.name for p in dataset.problems] == ["00003_0.jpg"]
    assert "no thermal partner" in dataset.problems[0].reason


def test_wrong_root_is_one_sentence(tmp_path):
    with pytest.raises(DatasetError, match=r"expected \{day,night\}"):
        CropsDataset(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        RoadSceneDataset(tmp_path)


def test_empty_class_is_named(crops_root):
    for kind in ("visible", "thermal"):
        for light in ("day", "night"):
            for path in (crops_root / light / kind / "bicycle").iterdir():
                path.unlink()
    with pytest.raises(DatasetError, match="no sample of bicycle"):
        CropsDataset(crops_root).require(classes=True)


def test_empty_dataset_is_one_sentence(frames_root):
    for path in (frames_root / "visible").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="no usable image pair found for a RoadScene dataset; first problem"):
        RoadSceneDataset(frames_root).require()


def test_roadscene_without_labels_is_unknown_not_empty(frames_root):
    dataset = RoadSceneDataset(frames_root)
    assert dataset.samples[0].present == {"car"}
    assert dataset.samples[0].known == {"person", "car", "bicycle"}
    assert dataset.samples[5].known == frozenset()
    assert [s.order for s in dataset.samples] == [1, 2, 3, 4, 5, 6]
    (frames_root / "frames.json").unlink()
    assert all(not s.known for s in RoadSceneDataset(frames_root).samples)


def test_bad_annotations_are_told(frames_root):
    entries = json.loads((frames_root / "frames.json").read_text())
    entries[0]["objects"] = [{"class": "car", "box_xyxy": [40, 40, 10, 10]}]
    (frames_root / "frames.json").write_text(json.dumps(entries))
    assert "expected x0 < x1" in RoadSceneDataset(frames_root).problems[0].reason
    (frames_root / "frames.json").write_text("{")
    with pytest.raises(DatasetError, match=r"frames\.json: not a list of frames"):
        RoadSceneDataset(frames_root)


def test_paired_folders_pair_scenes_by_name(frames_root, tmp_path):
    root = tmp_path / "pairs"
    for kind in ("visible", "thermal"):
        (root / kind).mkdir(parents=True)
        (frames_root / kind).rename(root / kind / "scene")
    (root / "visible" / "lonely").mkdir()
    dataset = PairedFolders(root)
    assert dataset.samples[0].name == "scene/F_000"
    assert len(dataset) == 6
    assert "lonely" in str(dataset.problems[0])


def test_corrupt_images_are_skipped_with_path_and_count(crops_root, tmp_path, caplog):
    bad = crops_root / "night/thermal/person/00006_0.jpg"
    bad.write_bytes(b"not a jpeg")
    other = crops_root / "day/visible/car/00009_0.jpg"
    cv2.imwrite(str(other), np.zeros((5, 5, 3), np.uint8))
    with caplog.at_level(logging.WARNING):
        packed = PackedPairs(CropsDataset(crops_root), tmp_path / "cache")
    assert len(packed) == 58
    assert str(bad) in caplog.text
    assert "expected the same size" in caplog.text
    assert "2 of 60 pairs skipped" in caplog.text


def test_packed_pixels_are_those_of_the_files_and_are_used_again(crops_root, tmp_path):
    dataset = CropsDataset(crops_root)
    packed = PackedPairs(dataset, tmp_path / "cache")
    visible, thermal = dataset.read(dataset.samples[7])
    np.testing.assert_array_equal(packed[7][..., 2::-1], visible)
    np.testing.assert_array_equal(packed[7][..., 3], thermal)
    made = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    PackedPairs(CropsDataset(crops_root), tmp_path / "cache")
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == made


def test_one_vocabulary():
    assert canonical_label(" Pedestrian ") == "person"
    assert canonical_label("Bike") == "bicycle"
    assert canonical_label("dog") is None


def test_of_two_runs_that_want_the_same_set_one_unpacks_and_packs_it(street_root, tmp_path, monkeypatch):
    """The other one waits, and takes away nothing that is about to be put in its place."""
    archive = Path(shutil.make_archive(str(tmp_path / "data" / "street"), "zip", street_root))
    monkeypatch.delenv("VI_FUSION_DATA", raising=False)
    entry = SetConfig(path=Path("street"), layout="roadscene", train=((-1, 10_000),))
    config = DataConfig(sets={"street": entry}, root=archive.parent, cache=tmp_path / "cache")
    another = threading.Event()
    made: list[str] = []

    def watched(name, real):
        def make(*args):
            if made.count(name):
                another.set()
            made.append(name)
            another.wait(1.0)  # the other run comes meanwhile, if it can
            real(*args)

        return make

    monkeypatch.setattr(data, "unpack", watched("unpack", data.unpack))
    monkeypatch.setattr(packed, "_pack", watched("pack", packed._pack))
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda _run: len(data.frames_of(config, "train")["street"]), range(2)))
    assert counts == [24, 24]
    assert made == ["unpack", "pack"]
    assert not list((tmp_path / "cache").rglob("*.part"))
