"""``vi-fusion dataset check``: its report, its JSON and its exit codes, by the command line."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import vi_fusion_ros.training
from vi_fusion_ros import cli

LABELS = ("person", "car", "bicycle")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Two crops of each label by day and one by night."""
    rng = np.random.default_rng(0)
    for label in LABELS:
        for light, numbers in (("day", (1, 2)), ("night", (3,))):
            for number in numbers:
                for kind, channels in (("visible", 3), ("thermal", 1)):
                    path = tmp_path / "crops" / light / kind / label / f"{number:05d}_0.jpg"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(path), rng.integers(0, 255, (20, 30, channels), dtype=np.uint8))
    return tmp_path / "crops"


def check(*arguments: object) -> int:
    return cli.main(["dataset", "check", *map(str, arguments)])


def test_a_clean_dataset_is_described_and_gives_0(crops, tmp_path, capsys):
    out = tmp_path / "deep" / "report.json"
    assert check(crops, "--json", out) == 0
    report = json.loads(out.read_text())
    assert report["layout"] == "crops"
    assert (report["pairs"], report["readable"], report["registered"]) == (9, 9, 9)
    assert report["visible_sizes"] == {"30x20": 9}
    assert report["thermal_sizes"] == {"30x20 uint8": 9}
    assert report["labels"] == {n: {"present": 3, "absent": 6, "unknown": 0, "boxes": 0} for n in LABELS}
    assert report["illumination"] == {"day": 6, "night": 3, "unknown": 0}
    assert report["problems"] == []
    captured = capsys.readouterr()
    assert "9 pairs, 9 readable, 9 registered" in captured.out
    assert "day 6, night 3, unknown 0" in captured.out
    assert "no problems" in captured.out


def test_problems_are_sentences_with_paths_and_give_1(crops, tmp_path, capsys):
    (crops / "day/thermal/car/00001_0.jpg").unlink()
    (crops / "night/visible/person/00003_0.jpg").write_bytes(b"not an image")
    cv2.imwrite(str(crops / "day/thermal/person/00002_0.jpg"), np.zeros((5, 5), np.uint8))
    assert check(crops, "--json", tmp_path / "report.json") == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["pairs"], report["readable"]) == (8, 6)
    assert report["problem_counts"] == {"image": 2, "pairing": 1}
    told = {Path(p["path"]).relative_to(crops).as_posix(): p["sentence"] for p in report["problems"]}
    assert "no thermal partner" in told["day/visible/car/00001_0.jpg"]
    assert "corrupt or not an image (12 bytes)" in told["night/visible/person/00003_0.jpg"]
    assert "30×20 and 5×5; expected the same size" in told["day/visible/person/00002_0.jpg"]
    error = capsys.readouterr().err
    assert "3 problems (image 2, pairing 1):" in error
    assert all(sentence in error for sentence in told.values())


def test_a_label_that_nothing_shows_is_a_problem(crops, capsys):
    for light in ("day", "night"):
        for kind in ("visible", "thermal"):
            shutil.rmtree(crops / light / kind / "bicycle")
    assert check(crops) == 1
    assert f"{crops}: no pair shows a bicycle" in capsys.readouterr().err


def test_boxes_outside_their_image_are_problems(tmp_path, capsys):
    for kind in ("visible", "thermal"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), np.zeros((40, 60), np.uint8))
    boxes = [("person", [0, 0, 9, 9]), ("bicycle", [50, 30, 70, 50]), ("car", [60, 10, 80, 30])]
    objects = [{"class": name, "box_xyxy": box} for name, box in boxes]
    entry = {"frame": "a", "labelled": True, "day_night": "day", "objects": objects}
    (tmp_path / "frames.json").write_text(json.dumps([entry]))
    assert check(tmp_path) == 1
    error = capsys.readouterr().err
    assert "a.png: box of a car at [60, 10, 80, 30] lies outside its 60x40 image" in error
    assert error.count("lies outside") == 1


def test_what_is_not_annotated_is_no_problem(tmp_path, capsys):
    for kind in ("visible", "thermal"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), np.zeros((40, 60), np.uint16 if kind == "thermal" else np.uint8))
    assert check(tmp_path) == 0
    text = capsys.readouterr().out
    assert "layout paired" in text
    assert "60x40 uint16 (1)" in text
    assert "car                 0        0        1        0" in text


def test_many_problems_are_cut_short_on_the_terminal_only(crops, tmp_path, capsys):
    for number in range(100, 130):
        (crops / f"day/visible/car/{number:05d}_0.jpg").write_bytes(b"x")
    assert check(crops, "--json", tmp_path / "report.json") == 1
    assert len(json.loads((tmp_path / "report.json").read_text())["problems"]) == 30
    error = capsys.readouterr().err
    assert error.count("no thermal partner") == 20
    assert "and 10 more; --json FILE lists all" in error


def test_the_layout_can_be_given(crops, capsys):
    assert check(crops, "--layout", "roadscene") == 2
    assert "no such folder; expected a folder of images" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        check(crops, "--layout", "nothing")
    assert stopped.value.code == 2
    assert "flir_v1" in capsys.readouterr().err


def unreadable(folder: Path) -> Path:
    for kind in ("visible", "thermal"):
        (folder / kind).mkdir(parents=True)
        (folder / kind / "a.png").write_bytes(b"x")
    return folder


def empty(folder: Path) -> Path:
    for kind in ("visible", "thermal"):
        (folder / kind).mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "nowhere", "nowhere: no such folder; expected a dataset"),
        (lambda folder: folder, "expected one of these layouts: crops, "),
        (empty, "no usable image pair found for a paired folders dataset"),
        (unreadable, "none of its 1 pairs can be read; first problem: "),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_gives_2(tmp_path, capsys, make, sentence):
    assert check(make(tmp_path), "--json", tmp_path / "report.json") == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(error) == 1
    assert sentence in error[0]
    assert not (tmp_path / "report.json").exists()


def test_the_command_needs_neither_torch_nor_ros(crops, monkeypatch):
    for name in ("torch", "lightning", "rclpy", "sensor_msgs"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises
    # Importing it anew sets the package's attribute, too, which other tests go by.
    monkeypatch.setattr(vi_fusion_ros, "training", vi_fusion_ros.training)
    for name in [module for module in sys.modules if module.startswith("vi_fusion_ros.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "vi_fusion_ros.cli.train.dataset", raising=False)
    assert check(crops) == 0


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "layout", "pairs"), [("roadscene_dev", "roadscene", 144), ("m3svd_stills", "paired", 160)]
)
def test_the_real_pairs_are_clean(data_dir, tmp_path, name, layout, pairs):
    root = data_dir / name
    if not root.is_dir():
        if not (data_dir / f"{name}.zip").is_file():
            pytest.skip(f"neither {name} nor {name}.zip in {data_dir}")
        with zipfile.ZipFile(data_dir / f"{name}.zip") as archive:
            archive.extractall(tmp_path / "data")
        root = tmp_path / "data" / name
        root = root if root.is_dir() else tmp_path / "data"
    assert check(root, "--json", tmp_path / "report.json") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["layout"], report["pairs"], report["readable"]) == (layout, pairs, pairs)
