"""Every layout: what its adapter reads, and what it says of what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import layout_maker
import numpy as np
import pytest

from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.datasets.base import Box, DatasetError
from vi_fusion_ros.training.datasets.layouts import CLASSIFIED, LAYOUTS, guess_layout

ALL = {"person", "car", "bicycle"}
ANNOTATED = {"kaist": {"person"}, "llvip": {"person"}, "m3fd": {"person", "car"}} | dict.fromkeys(
    ("msrs", "presence", "flir_v1", "flir_v2"), ALL
)
"""Of which labels each dataset annotates every object."""


@pytest.fixture(params=layout_maker.MAKERS)
def made(request, tmp_path) -> tuple[str, Path]:
    """The name and the folder of a dataset in each layout."""
    layout_maker.MAKERS[request.param](tmp_path)
    return request.param, tmp_path


def opened(name: str, root: Path):
    return LAYOUTS[name].open(root)


def test_every_layout_is_told_by_its_folders(made):
    name, root = made
    assert guess_layout(root, LAYOUTS) == name


def test_a_clean_dataset_has_four_pairs_in_order_and_no_problem(made):
    dataset = opened(*made)
    dataset.require()
    assert [str(problem) for problem in dataset.problems] == []
    assert len({sample.name for sample in dataset.samples}) == 4
    orders = [sample.order for sample in dataset.samples]
    assert orders == sorted(set(orders))
    assert all(sample.visible.is_file() for sample in dataset.samples)
    assert all(sample.thermal.is_file() for sample in dataset.samples)


def test_what_is_annotated_is_known_and_the_rest_is_not(made):
    name, root = made
    samples = opened(name, root).samples
    annotated = ANNOTATED.get(name, set())
    ridden = {"bicycle"} if name == "kaist" else set()  # seen under a cyclist, and known only there
    assert samples[0].present == annotated | ridden
    assert samples[0].known == annotated | ridden
    assert samples[1].present == annotated & {"person"}
    assert samples[2].present == frozenset()
    assert [sample.known for sample in samples[1:]] == [annotated] * 3


def test_boxes_are_where_they_were_drawn(made):
    name, root = made
    sample = opened(name, root).samples[0]
    boxes = {box.label: box for box in (*sample.boxes, *sample.thermal_boxes)}
    if name in ("roadscene", "presence", "msrs"):  # no objects, only presence or nothing
        assert boxes == {}
    else:
        assert set(boxes) == sample.present
        assert set(boxes.values()) == {Box(label, *map(float, layout_maker.BOX)) for label in boxes}
    assert bool(sample.thermal_boxes) == (not sample.registered)


def test_only_flir_is_not_registered_and_its_pairs_are_refused(made, tmp_path):
    name, root = made
    dataset = opened(name, root)
    registered = not name.startswith("flir")
    assert {sample.registered for sample in dataset.samples} == {registered}
    visible, thermal = dataset.read_views(dataset.samples[0])
    assert visible.shape == ((48, 64, 3) if registered else (80, 90, 3))
    assert thermal.shape == (48, 64)
    assert (visible.dtype, thermal.dtype) == (np.uint8, np.uint8)
    assert (name in CLASSIFIED) == registered
    if registered:
        assert len(PackedPairs(dataset, root / "cache")) == 4
    else:
        assert any("register them" in note for note in dataset.notes)
        with pytest.raises(DatasetError, match="not registered"):
            dataset.read(dataset.samples[0])


def test_a_missing_partner_is_named_and_its_pair_left_out(made):
    name, root = made
    lost = opened(name, root).samples[1].thermal
    lost.unlink()
    dataset = opened(name, root)
    assert len(dataset) == 3
    assert [problem.kind for problem in dataset.problems] == ["pairing"]
    assert lost.stem in dataset.problems[0].path.name


def test_corrupt_images_are_named_when_they_are_read(made):
    name, root = made
    dataset = opened(name, root)
    cut, empty = dataset.samples[0].visible, dataset.samples[2].thermal
    cut.write_bytes(cut.read_bytes()[:-40])
    empty.write_bytes(b"")
    read = [sample.name for sample, *_ in dataset.viewable()]
    assert read == [dataset.samples[1].name, dataset.samples[3].name]
    assert [problem.path for problem in dataset.problems] == [cut, empty]
    assert {problem.kind for problem in dataset.problems} == {"image"}
    assert all("corrupt or not an image" in problem.reason for problem in dataset.problems)


def test_without_images_it_is_an_error_in_one_sentence(made):
    name, root = made
    for sample in opened(name, root).samples:
        sample.visible.unlink()
        sample.thermal.unlink()
    with pytest.raises(DatasetError, match="no usable image pair found") as caught:
        opened(name, root).require()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(LAYOUTS)))
def test_another_folder_is_an_error_that_says_what_was_expected(name, tmp_path):
    with pytest.raises(DatasetError) as caught:
        opened(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_no_layout_names_them_all(tmp_path):
    with pytest.raises(DatasetError, match=r"crops, roadscene, presence, .*paired"):
        guess_layout(tmp_path, LAYOUTS)
    with pytest.raises(DatasetError, match="no such folder"):
        guess_layout(tmp_path / "nowhere", LAYOUTS)


ANNOTATION_FILES = {
    "kaist": "annotations/set01/V000/I00010.txt",
    "llvip": "Annotations/010001.xml",
    "m3fd": "Annotation/00001.xml",
    "msrs": "train/Segmentation_labels/00001N.png",
    "flir_v1": "train/thermal_annotations.json",
    "flir_v2": "video_thermal_test/coco.json",
}
BROKEN = {"empty": b"", "garbled": b"\x00\xff\xfe<[{ nonsense", "of another kind": b'{"a": [1]}', "missing": None}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ANNOTATION_FILES)
def test_a_broken_annotation_leaves_its_labels_unknown_and_is_named(name, content, tmp_path):
    layout_maker.MAKERS[name](tmp_path)
    path = tmp_path / ANNOTATION_FILES[name]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    dataset = opened(name, tmp_path)
    assert len(dataset) == 4
    assert [(problem.path, problem.kind) for problem in dataset.problems] == [(path, "label")]
    assert "\n" not in str(dataset.problems[0])
    sample = dataset.samples[1]
    assert sample.known == sample.present == frozenset()


@pytest.mark.parametrize("name", ["kaist", "llvip", "m3fd"])
def test_without_annotations_all_labels_are_unknown_and_a_note_says_so(name, tmp_path):
    layout_maker.MAKERS[name](tmp_path)
    folder = tmp_path / Path(ANNOTATION_FILES[name]).parts[0]
    folder.rename(tmp_path / "elsewhere")
    dataset = opened(name, tmp_path)
    assert len(dataset) == 4
    assert not any(sample.known for sample in dataset.samples)
    assert dataset.problems == []
    assert any(folder.name in note for note in dataset.notes)


def test_kaist_knows_day_and_night_by_the_set(tmp_path):
    layout_maker.kaist(tmp_path)
    lights = {sample.name.split("/")[0]: sample.illumination for sample in opened("kaist", tmp_path).samples}
    assert lights == {"set00": "day", "set01": "day", "set02": "day", "set03": "night"}


def test_kaist_may_keep_its_sets_under_images(tmp_path):
    layout_maker.kaist(tmp_path)
    (tmp_path / "images").mkdir()
    for folder in sorted(tmp_path.glob("set0*")):
        folder.rename(tmp_path / "images" / folder.name)
    assert guess_layout(tmp_path, LAYOUTS) == "kaist"
    assert opened("kaist", tmp_path).samples[0].present == {"person", "bicycle"}


@pytest.mark.parametrize(
    ("names", "present", "known"),
    [
        (("person?",), set(), set()),
        (("person?a", "person"), {"person"}, {"person"}),
        (("people",), {"person"}, {"person"}),
        (("person?", "cyclist"), {"person", "bicycle"}, {"person", "bicycle"}),
    ],
)
def test_kaist_doubts_make_a_label_unknown_unless_another_object_shows_it(names, present, known, tmp_path):
    layout_maker.kaist(tmp_path)
    (tmp_path / ANNOTATION_FILES["kaist"]).write_text(layout_maker.bbgt(*names))
    dataset = opened("kaist", tmp_path)
    assert (dataset.samples[1].present, dataset.samples[1].known) == (present, known)
    assert dataset.problems == []


@pytest.mark.parametrize(
    ("box", "name", "reason"),
    [
        ((14, 6, 4, 26), "person", "box [14, 6, 4, 26] of 'person' is empty"),
        (("x", 6, 14, 26), "person", "box [nan, 6, 14, 26] of 'person' is empty"),
        ((4, 6, "inf", 26), "person", "box [4, 6, inf, 26]"),
        (layout_maker.BOX, "persn", "label 'persn' is unknown; expected one of person"),
    ],
)
def test_a_bad_object_is_named_and_does_not_make_its_label_absent(box, name, reason, tmp_path):
    layout_maker.llvip(tmp_path)
    path = tmp_path / ANNOTATION_FILES["llvip"]
    path.write_text(layout_maker.voc(name, box=box))
    dataset = opened("llvip", tmp_path)
    assert reason in str(dataset.problems[0])
    assert dataset.problems[0].path == path
    assert dataset.samples[1].present == frozenset()
    assert dataset.samples[1].known == (set() if name == "person" else {"person"})
    path.write_text(layout_maker.voc(name, "person", box=layout_maker.BOX))
    assert opened("llvip", tmp_path).samples[1].present == {"person"}


def test_xml_entities_are_refused_before_they_expand(tmp_path):
    layout_maker.llvip(tmp_path)
    entities = "".join(f'<!ENTITY l{k + 1} "{f"&l{k};" * 10}">' for k in range(9))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><annotation><object><name>&l9;</name></object></annotation>'
    (tmp_path / ANNOTATION_FILES["llvip"]).write_text(bomb)
    assert "has a document type declaration" in str(opened("llvip", tmp_path).problems[0])


def test_xml_that_is_no_annotation_is_named(tmp_path):
    layout_maker.llvip(tmp_path)
    (tmp_path / ANNOTATION_FILES["llvip"]).write_text("<svg><object><name>person</name></object></svg>")
    dataset = opened("llvip", tmp_path)
    assert "an XML file of <svg>; expected a VOC <annotation>" in str(dataset.problems[0])
    assert dataset.samples[1].known == frozenset()


def test_deeply_nested_json_is_a_problem_not_a_crash(tmp_path):
    layout_maker.flir_v1(tmp_path)
    (tmp_path / ANNOTATION_FILES["flir_v1"]).write_text("[" * 200_000)
    assert "not JSON" in str(opened("flir_v1", tmp_path).problems[0])


def test_msrs_masks_with_a_palette_are_read_by_index(tmp_path):
    layout_maker.msrs(tmp_path)
    path = tmp_path / ANNOTATION_FILES["msrs"]
    path.write_bytes(indexed_png(np.array([[0, 1, 1], [3, 0, 0]], np.uint8)))
    dataset = opened("msrs", tmp_path)
    assert dataset.problems == []
    assert dataset.samples[1].present == {"car", "bicycle"}
    assert dataset.samples[1].known == ALL


def indexed_png(indices: np.ndarray) -> bytes:
    """A PNG with a palette, which OpenCV cannot write; colours are MFNet's, in no order that is the classes'."""
    import struct
    import zlib

    palette = [(0, 0, 0), (64, 0, 128), (64, 64, 0), (0, 128, 192)]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", indices.shape[1], indices.shape[0], 8, 3, 0, 0, 0)
    rows = b"".join(b"\x00" + row.tobytes() for row in indices)
    colours = bytes(value for colour in palette for value in colour)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.full((48, 64), 9, np.uint8), "mask value 9; expected class numbers from 0 to 8"),
        (np.zeros((48, 64, 3), np.uint8), "a colour image; expected a mask of class numbers"),
    ],
)
def test_msrs_masks_of_other_values_are_named(mask, reason, tmp_path):
    layout_maker.msrs(tmp_path)
    cv2.imwrite(str(tmp_path / ANNOTATION_FILES["msrs"]), mask)
    dataset = opened("msrs", tmp_path)
    assert reason in str(dataset.problems[0])
    assert dataset.samples[1].known == frozenset()


def test_msrs_names_tell_day_from_night(tmp_path):
    layout_maker.msrs(tmp_path)
    assert [s.illumination for s in opened("msrs", tmp_path).samples] == ["day", "night", "day", "night"]


@pytest.mark.parametrize("name", ["flir_v1", "flir_v2"])
def test_flir_has_16_bits_where_asked(name, tmp_path):
    layout_maker.MAKERS[name](tmp_path)
    deep, plain = opened(f"{name}_16bit", tmp_path), opened(name, tmp_path)
    assert [s.present for s in deep.samples] == [s.present for s in plain.samples]
    assert deep.problems == []
    thermal = deep.read_views(deep.samples[0])[1]
    assert thermal.dtype == np.uint16
    assert 7000 <= thermal.min() < thermal.max() < 9000


def test_flir_v1_may_be_one_part_and_keeps_the_video_apart(tmp_path):
    layout_maker.flir_v1(tmp_path)
    assert [s.order for s in opened("flir_v1", tmp_path).samples] == [1, 2, 8863, 100_001]
    assert guess_layout(tmp_path / "train", LAYOUTS) == "flir_v1"
    assert [s.name for s in opened("flir_v1", tmp_path / "train").samples] == ["train/FLIR_00001", "train/FLIR_00002"]


def test_flir_v1_labels_of_images_that_the_file_does_not_list_are_unknown(tmp_path):
    layout_maker.flir_v1(tmp_path)
    path = tmp_path / ANNOTATION_FILES["flir_v1"]
    document = json.loads(path.read_text())
    del document["images"][1]
    document["annotations"].append({"id": 99, "category_id": 1, "bbox": None, "image_id": 0})
    path.write_text(json.dumps(document))
    dataset = opened("flir_v1", tmp_path)
    said = " ".join(map(str, dataset.problems))
    assert dataset.samples[1].known == frozenset()
    assert "FLIR_00002.jpeg: not listed in" in said
    assert "is of image 1, which the file does not list" in said
    assert "box [nan, nan, nan, nan] of 'person' is empty" in said
    assert dataset.samples[0].present == ALL  # the good person counts


def test_flir_v2_pairs_show_what_either_camera_sees(tmp_path):
    layout_maker.flir_v2(tmp_path)
    sample = opened("flir_v2", tmp_path).samples[0]
    assert sample.present == ALL
    assert {box.label for box in sample.boxes} == {"car", "bicycle"}
    assert {box.label for box in sample.thermal_boxes} == ALL
    assert sample.illumination == "night"


def test_flir_v2_dusk_is_neither_day_nor_night(tmp_path):
    layout_maker.flir_v2(tmp_path)
    for path in tmp_path.glob("*/coco.json"):
        path.write_text(path.read_text().replace('"night"', '"dawn/dusk"'))
    dataset = opened("flir_v2", tmp_path)
    assert {sample.illumination for sample in dataset.samples} == {None}
    assert dataset.samples[0].present == ALL


def test_flir_v2_images_without_the_map_are_no_pairs(tmp_path):
    layout_maker.image(tmp_path / "images_thermal_train/data/video-a-frame-000000-b.jpg")
    assert guess_layout(tmp_path, LAYOUTS) == "flir_v2"
    with pytest.raises(DatasetError, match="without it no visible frame has a thermal partner"):
        opened("flir_v2", tmp_path)
    (tmp_path / "rgb_to_thermal_vid_map.json").write_text("{")
    with pytest.raises(DatasetError, match=r"rgb_to_thermal_vid_map\.json: not JSON"):
        opened("flir_v2", tmp_path)


def test_an_image_cut_short_anywhere_is_corrupt(tmp_path):
    layout_maker.llvip(tmp_path)
    dataset = opened("llvip", tmp_path)
    path = dataset.samples[0].visible
    whole = path.read_bytes()
    for kept in (2, 100, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:kept])
        with pytest.raises(DatasetError, match="corrupt or not an image"):
            dataset.read(dataset.samples[0])
    path.write_bytes(whole + b"\x00" * 64)  # some cameras pad their files
    assert dataset.read(dataset.samples[0])[0].shape == (48, 64, 3)


@pytest.mark.parametrize("bad", [b"half a JPEG", b"a header that asks too much"])
def test_a_decoder_that_shows_grey_or_raises_makes_no_difference(tmp_path, monkeypatch, bad):
    """OpenCV before 4.12 fills what a cut JPEG lacks with grey; it raises where a header promises too many pixels."""
    layout_maker.llvip(tmp_path)
    dataset = opened("llvip", tmp_path)
    whole = dataset.samples[0].visible.read_bytes()
    content = whole[: len(whole) // 2] if bad.startswith(b"half") else bad
    dataset.samples[1].visible.write_bytes(content)

    def decode(data, flags):
        if data.tobytes() == bad:
            raise cv2.error("pixels <= CV_IO_MAX_IMAGE_PIXELS")
        return np.full((48, 64, 3) if flags == cv2.IMREAD_COLOR else (48, 64), 128, np.uint8)

    monkeypatch.setattr(cv2, "imdecode", decode)
    assert dataset.read(dataset.samples[0])[0].shape == (48, 64, 3)
    with pytest.raises(DatasetError, match="corrupt or not an image"):
        dataset.read(dataset.samples[1])


def test_thermal_pixels_are_8_or_16_bits_or_float32(tmp_path):
    layout_maker.flir_v1(tmp_path)
    dataset = opened("flir_v1_16bit", tmp_path)
    path = dataset.samples[0].thermal
    cv2.imwrite(str(path), np.full((48, 64), 290.5, np.float32))
    assert dataset.read_views(dataset.samples[0])[1].dtype == np.float32
    cv2.imwrite(str(path), np.full((48, 64), 290.5, np.float64))
    with pytest.raises(DatasetError, match=r"FLIR_00001\.tiff: pixels of type float64"):
        dataset.read_views(dataset.samples[0])
