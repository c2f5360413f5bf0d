"""Tables of what is present, and images of one camera alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from layout_maker import image, write

from vi_fusion_ros.training.datasets.archives import unpack
from vi_fusion_ros.training.datasets.base import Box, DatasetError
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.datasets.presence_table import PresenceTable
from vi_fusion_ros.training.datasets.single_camera import SingleCamera

ALL = frozenset(LABELS)


def frames(root: Path, rows: list[str], stems: tuple[str, ...] = ("00012D", "00040N")) -> Path:
    for stem in stems:
        image(root / f"visible/{stem}.jpg")
        image(root / f"thermal/{stem}.jpg", grey=True)
    write(root / "presence.csv", "\n".join(["frame,time,person,car,bicycle", *rows]))
    return root


def scenes(root: Path, table: str) -> Path:
    for scene in ("forest", "square"):
        for stem in ("0", "1"):
            image(root / f"visible/{scene}/{stem}.jpg")
            image(root / f"thermal/{scene}/{stem}.jpg", grey=True)
    write(root.with_name(f"{root.name}_presence.csv"), table)
    return root


def test_an_empty_cell_is_unknown_and_the_number_of_the_name_is_the_order(tmp_path: Path) -> None:
    dataset = PresenceTable(frames(tmp_path / "campus", ["00012D,day,1,0,", "00040N,night,0,,1"]))
    day, night = dataset.samples
    assert (day.present, day.known) == ({"person"}, {"person", "car"})
    assert (night.present, night.known) == ({"bicycle"}, {"person", "bicycle"})
    assert [(sample.illumination, sample.order) for sample in dataset.samples] == [("day", 12), ("night", 40)]
    assert [sample.name for sample in dataset.subset(13, 41).samples] == ["00040N"]
    assert dataset.problems == []
    assert dataset.name == "campus"


def test_a_frame_without_a_row_is_unknown(tmp_path: Path) -> None:
    dataset = PresenceTable(frames(tmp_path, ["00012D,day,1,0,0"]))
    assert [sample.known for sample in dataset.samples] == [ALL, frozenset()]


def test_scenes_share_what_the_table_beside_the_folder_says(tmp_path: Path) -> None:
    table = "scene,time,person,car,bicycle\nsquare,dusk,1,1,0\nforest,night,1,0,0\n"
    dataset = PresenceTable(scenes(tmp_path / "stills", table))
    assert [sample.name for sample in dataset.samples] == ["forest/0", "forest/1", "square/0", "square/1"]
    assert [sample.order for sample in dataset.samples] == [1, 1, 2, 2]
    assert [sample.present for sample in dataset.samples[::2]] == [{"person"}, {"person", "car"}]
    assert [sample.illumination for sample in dataset.samples[::2]] == ["night", None]  # dusk is neither


def test_what_is_wrong_with_a_table_is_said(tmp_path: Path) -> None:
    root = frames(tmp_path, ["00012D,day,yes,0,0", "00040N,night,1,0,0", "00099N,night,1,0,0"])
    (root / "thermal/00040N.jpg").unlink()
    dataset = PresenceTable(root)
    said = [str(problem) for problem in dataset.problems]
    assert len(said) == 3
    assert "visible/00040N.jpg: no thermal partner" in said[0]
    assert any("person of '00012D' is 'yes'; expected 1, 0 or nothing" in problem for problem in said)
    assert any("'00099N' has no images" in problem for problem in said)
    assert dataset.samples[0].known == {"car", "bicycle"}


def test_a_scene_of_one_camera_is_left_out_and_named(tmp_path: Path) -> None:
    root = scenes(tmp_path / "stills", "scene,time,person,car,bicycle\nforest,day,1,0,0\nsquare,day,1,0,0\n")
    for path in (root / "thermal/forest").iterdir():
        path.unlink()
    (root / "thermal/forest").rmdir()
    dataset = PresenceTable(root)
    assert [sample.name for sample in dataset.samples] == ["square/0", "square/1"]
    assert "thermal/forest: no such folder" in str(dataset.problems[0])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"stem,person\n00012D,1\n", "has no column 'frame'; expected frame, time, person"),
        (b"frame,person\n\xff\xfe,1\n", "no CSV file"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    root = frames(tmp_path, [])
    (root / "presence.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=sentence) as caught:
        PresenceTable(root)
    assert str(caught.value).startswith(str(root / "presence.csv"))


def test_scenes_without_a_folder_of_images_are_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "stills_presence.csv", "scene,time\n")
    with pytest.raises(DatasetError, match="visible: no such folder; expected a folder of scenes"):
        PresenceTable(tmp_path / "stills")


PERSON = {"class": "person", "box_xyxy": [4, 6, 14, 26]}
BUS = {"class": "ignore", "box_xyxy": [20, 6, 60, 40]}


def alone(root: Path, *entries: dict) -> Path:
    for entry in entries:
        image(root / entry["file"], grey=entry["camera"] == "thermal")
    write(root / "frames.json", json.dumps(entries))
    return root


def entry(file: str, *objects: object, camera: str = "visible", complete: bool = True) -> dict:
    return {"file": file, "camera": camera, "complete": complete, "day_night": "day", "objects": list(objects)}


def test_the_other_camera_is_black_and_named_as_missing(tmp_path: Path) -> None:
    dataset = SingleCamera(
        alone(tmp_path, entry("visible/town/a.jpg", PERSON), entry("thermal/drone/b.jpg", camera="thermal"))
    )
    thermal, visible = dataset.samples  # in the order of the files
    assert (visible.camera, thermal.camera) == ("visible", "thermal")
    seen, nothing = dataset.read(visible)
    assert (seen.shape, nothing.shape) == ((48, 64, 3), (48, 64))
    assert seen.any()
    assert not nothing.any()
    nothing, felt = dataset.read(thermal)
    assert (nothing.shape, felt.shape, felt.dtype) == ((48, 64, 3), (48, 64), np.uint8)
    assert felt.any()
    assert not nothing.any()


def test_what_is_known_of_complete_other_and_incomplete_images(tmp_path: Path) -> None:
    root = alone(
        tmp_path,
        entry("visible/town/a.jpg", PERSON),
        entry("visible/town/b.jpg", PERSON, BUS),
        entry("visible/town/c.jpg", PERSON, complete=False),
        entry("visible/town/d.jpg"),
    )
    whole, with_bus, partly, empty = SingleCamera(root).samples
    assert (whole.present, whole.known, whole.complete) == ({"person"}, ALL, True)
    assert whole.boxes == (Box("person", 4, 6, 14, 26),)
    assert with_bus.known == {"person"}  # the bus may count as a car to whoever labels it
    assert with_bus.ignored == (Box("ignore", 20, 6, 60, 40),)
    assert (partly.known, partly.complete) == ({"person"}, False)
    assert (empty.present, empty.known) == (frozenset(), ALL)


def test_ranks_are_those_of_a_set_and_a_set_can_be_taken_alone(tmp_path: Path) -> None:
    files = ("visible/yard/b.jpg", "visible/town/a.jpg", "visible/yard/a.jpg")
    root = alone(tmp_path, *(entry(file) for file in files))
    assert [(s.name, s.order) for s in SingleCamera(root).samples] == [
        ("visible/town/a.jpg", 1), ("visible/yard/a.jpg", 1), ("visible/yard/b.jpg", 2)
    ]  # fmt: skip
    yard = SingleCamera(root, "yard")
    assert (yard.name, [sample.order for sample in yard.samples]) == ("yard", [1, 2])


def test_a_folder_of_visible_images_alone_shows_none_of_the_labels(tmp_path: Path) -> None:
    image(tmp_path / "visible/a.jpg")
    (sample,) = SingleCamera(tmp_path).samples
    assert (sample.present, sample.known, sample.camera) == (frozenset(), ALL, "visible")


@pytest.mark.parametrize(
    "broken", [{"class": "person"}, {"class": "car", "box_xyxy": [1, 2, 1, 4]}, {"class": "car", "box_xyxy": "here"}, 7]
)
def test_an_object_without_a_box_makes_its_image_incomplete(tmp_path: Path, broken: object) -> None:
    dataset = SingleCamera(alone(tmp_path, entry("visible/town/a.jpg", PERSON, broken)))
    (sample,) = dataset.samples
    assert (sample.present, sample.known, sample.complete) == ({"person"}, {"person"}, False)
    assert "expected a class and a box" in str(dataset.problems[0])
    assert dataset.problems[0].kind == "label"


@pytest.mark.parametrize("content", ["[{}]", "7", "[", '[{"file": "a.jpg", "camera": "radar"}]', '[{"file": 7}]'])
def test_a_list_that_is_none_is_one_sentence(tmp_path: Path, content: str) -> None:
    write(tmp_path / "frames.json", content)
    with pytest.raises(DatasetError, match="not a list of frames with 'file' and 'camera'") as caught:
        SingleCamera(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_archive_is_unpacked_with_the_table_beside_it(tmp_path: Path) -> None:
    source = scenes(tmp_path / "stills", "scene,time,person,car,bicycle\nforest,day,1,0,0\n")
    with zipfile.ZipFile(tmp_path / "stills.zip", "w") as archive:
        for path in source.rglob("*.jpg"):
            archive.write(path, path.relative_to(source))
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "stills.zip", tmp_path / "out/stills")
    dataset = PresenceTable(tmp_path / "out/stills")
    assert (len(dataset), dataset.samples[0].known, dataset.samples[2].known) == (4, ALL, frozenset())


def test_a_broken_archive_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "stills.zip").write_bytes(b"PK and no more")
    with pytest.raises(DatasetError, match=r"stills.zip: cannot be unpacked to .*; expected a zip archive"):
        unpack(tmp_path / "stills.zip", tmp_path / "stills")
    assert [path.name for path in tmp_path.iterdir()] == ["stills.zip"]


@pytest.mark.data
def test_the_real_sets(data_dir: Path, tmp_path: Path) -> None:
    for name in ("single_camera", "msrs_frames"):
        unpack(data_dir / f"{name}.zip", tmp_path / name)
    whole = SingleCamera(tmp_path / "single_camera")
    parts = {part: len(SingleCamera(tmp_path / "single_camera", part)) for part in ("camvid", "coco256", "hituav")}
    assert parts == {"camvid": 234, "coco256": 256, "hituav": 216}
    assert len(whole) == 706
    campus = PresenceTable(tmp_path / "msrs_frames")
    assert len(campus) == 230
    assert whole.problems == campus.problems == []
    for dataset in (whole, campus):
        visible, thermal = dataset.read(dataset.samples[-1])
        assert visible.shape[:2] == thermal.shape
