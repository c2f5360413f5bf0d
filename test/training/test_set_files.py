"""Where the data of a run comes from: sets by name, their parts, archives; tables and frames of one camera."""

from __future__ import annotations

import json
import shutil

import pytest

from vi_fusion_ros import cli
from vi_fusion_ros.training.datasets.base import Box, DatasetError
from vi_fusion_ros.training.datasets.layouts import LAYOUTS, guess_layout
from vi_fusion_ros.training.datasets.presence_table import PresenceTable
from vi_fusion_ros.training.datasets.single_camera import SingleCamera

ALL = {"person", "car", "bicycle"}


@pytest.fixture
def made(crops_root, street_root, table_root, single_root, tmp_path, monkeypatch):
    """A function that makes the data of a configuration; sets are read below ``tmp_path``."""
    pytest.importorskip("torch", reason="the training requirements are not installed")
    from vi_fusion_ros.training.config import DataConfig, build

    monkeypatch.delenv("VI_FUSION_DATA", raising=False)

    def make(**sets):
        return build(DataConfig, {"sets": sets, "root": tmp_path, "cache": tmp_path / "cache"})

    return make


def test_sets_are_read_by_name_and_in_their_blocks(made):
    from vi_fusion_ros.training.data import frames_of, load_splits

    data = made(
        street={"path": "street", "train": [[1, 5], [9, 11]], "select": [[5, 9]]},
        campus={"path": "campus", "test": [[3, 6]], "train": [[6, 11]]},
        road={"path": "alone", "layout": "single", "part": "road"},
    )
    splits = load_splits(data)
    assert {name: [s.order for s in frames.samples] for name, frames in splits.train.items()} == {
        "street": [1, 2, 3, 4, 9, 10],
        "campus": [6, 7, 8, 9, 10],
        "road": [1, 2, 3, 4],
    }
    assert list(splits.select) == ["street"]
    assert [s.name for s in frames_of(data, "test")["campus"].samples] == ["00003D", "00004N", "00005D"]
    assert splits.crops_train is None


def test_the_environment_says_where_the_data_lies(made, tmp_path, monkeypatch):
    from vi_fusion_ros.training.data import frames_of

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "street").rename(tmp_path / "elsewhere" / "street")
    data = made(street={"path": "street"})
    with pytest.raises(DatasetError, match="street: no such folder"):
        frames_of(data, "train")
    monkeypatch.setenv("VI_FUSION_DATA", str(tmp_path / "elsewhere"))
    assert len(frames_of(data, "train")["street"]) == 24


def test_an_archive_is_unpacked_once_with_the_table_beside_it(made, tmp_path):
    from vi_fusion_ros.training.data import frames_of

    scenes = tmp_path / "forest"
    for kind in ("visible", "thermal"):
        (scenes / kind).mkdir(parents=True)
        (tmp_path / "campus" / kind).rename(scenes / kind / "glade")
    shutil.make_archive(str(tmp_path / "forest"), "zip", scenes)
    shutil.rmtree(scenes)
    (tmp_path / "forest_presence.csv").write_text("scene,time,person,car,bicycle\nglade,day,1,0,0\n")
    data = made(forest={"path": "forest"})
    frames = frames_of(data, "train")["forest"]
    assert {(s.order, s.present, s.known) for s in frames.samples} == {(1, frozenset({"person"}), frozenset(ALL))}
    (tmp_path / "forest.zip").write_bytes(b"")  # it is not read again
    assert len(frames_of(data, "train")["forest"]) == 10


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_broken_archive_is_one_sentence_and_leaves_nothing(made, tmp_path, content):
    from vi_fusion_ros.training.data import frames_of

    (tmp_path / "forest.zip").write_bytes(content)
    with pytest.raises(DatasetError, match=r"forest\.zip: cannot be unpacked to .*; expected a zip archive") as caught:
        frames_of(made(forest={"path": "forest"}), "train")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "unpacked" / "forest").exists()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"path": "nowhere"}, "nowhere: no such folder; expected a dataset"),
        ({"path": "street", "layout": "stret"}, "street: its layout is 'stret'; expected one of crops, roadscene"),
        ({"path": "alone", "layout": "single", "part": "raod"}, "no usable image pair found for a raod dataset"),
        ({"path": "street", "train": [[100, 200]]}, "no frame of any set lies in a train range"),
    ],
)
def test_a_set_that_cannot_be_used_is_one_sentence(made, entry, sentence):
    from vi_fusion_ros.training.data import load_splits

    with pytest.raises(DatasetError, match=sentence) as caught:
        load_splits(made(s=entry))
    assert "\n" not in str(caught.value)


def test_a_table_says_what_frames_show(table_root):
    assert guess_layout(table_root, LAYOUTS) == "presence"
    dataset = PresenceTable(table_root)
    assert [s.order for s in dataset.samples] == list(range(1, 11))
    first, second = dataset.samples[:2]
    assert (first.present, first.known, first.illumination) == ({"car"}, {"car", "bicycle"}, "day")
    assert (second.present, second.known, second.illumination) == (set(), {"car", "bicycle"}, "night")
    assert all(s.boxes == () for s in dataset.samples)


def test_frames_of_one_camera_are_read_with_the_other_missing(single_root):
    dataset = SingleCamera(single_root)
    assert [(s.camera, s.order) for s in dataset.samples] == [("thermal", k) for k in (1, 2, 3, 4)] + [
        ("visible", k) for k in (1, 2, 3, 4)
    ]
    visible, thermal = dataset.read(dataset.samples[0])
    assert not visible.any()
    assert thermal.any()
    visible, thermal = dataset.read(dataset.samples[-1])
    assert visible.any()
    assert not thermal.any()
    assert dataset.samples[-1].boxes == (Box("car", 10, 10, 50, 40),)
    assert SingleCamera(single_root, "road").samples[0].name == "visible/road/0.png"
    assert len(SingleCamera(single_root, "road")) == 4


def test_what_may_be_there_without_a_box_is_unknown(single_root):
    entries = json.loads((single_root / "frames.json").read_text())
    entries[1]["complete"] = False
    entries[3]["objects"].append({"class": "ignore", "box_xyxy": [60, 10, 90, 40]})
    (single_root / "frames.json").write_text(json.dumps(entries))
    samples = {s.name: s for s in SingleCamera(single_root).samples}
    partial, vague = samples["visible/road/1.png"], samples["visible/road/3.png"]
    assert (partial.known, partial.complete) == ({"car"}, False)
    assert vague.known == {"person", "car"}
    assert [box.label for box in vague.ignored] == ["ignore"]


def test_visible_frames_without_a_list_show_none_of_the_labels(single_root):
    (single_root / "frames.json").unlink()
    for path in sorted((single_root / "visible" / "road").iterdir()):
        path.rename(single_root / "visible" / path.name)
    dataset = SingleCamera(single_root)
    assert {(s.present, s.known, s.camera) for s in dataset.samples} == {(frozenset(), frozenset(ALL), "visible")}
    assert [s.order for s in dataset.samples] == [1, 2, 3, 4]


def test_the_command_checks_tables_and_frames_of_one_camera(table_root, single_root, capsys):
    assert cli.main(["dataset", "check", str(table_root)]) == 1
    captured = capsys.readouterr()
    assert "layout presence" in captured.out
    assert "no pair shows a bicycle" in captured.err
    assert cli.main(["dataset", "check", str(single_root), "--layout", "single"]) == 1
    out = capsys.readouterr().out
    assert "visible images: 96x64 (4)" in out
    assert "thermal images: 96x64 uint8 (4)" in out
