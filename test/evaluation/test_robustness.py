"""``evaluate robustness`` with a model whose answers are known, on small datasets."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium import opened

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.fusion.evaluation import RANKED
from vi_fusion_ros.evaluation.pairs import PairSet, PairView
from vi_fusion_ros.evaluation.studies.robustness import Condition, all_conditions, corrupted

LABELLED = {"labels": ["person", "car"], "thresholds": {"person": 0.5, "car": 0.5}}


@pytest.fixture(scope="module")
def labelled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """person = the visible image is bright, car = the thermal one is."""
    tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")
    return tiny_model.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", LABELLED)


def write(path: Path, level: int, seed: int, channels: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(size=(64, 80, channels)).squeeze()
    cv2.imwrite(str(path), np.clip(level + 200 * cv2.GaussianBlur(noise, (0, 0), 2), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RoadScene's layout: persons where it is bright, cars where it is warm."""
    root, entries = tmp_path_factory.mktemp("frames"), []
    for k, (bright, warm) in enumerate(((200, 60), (60, 200), (200, 200))):
        write(root / f"visible/f{k}.png", bright, k, 3)
        write(root / f"thermal/f{k}.png", warm, 10 + k, 1)
        there = [name for name, level in (("person", bright), ("car", warm)) if level > 128]
        objects = [{"class": name, "box_xyxy": [5, 5, 30, 40]} for name in there]
        entries.append({"frame": f"f{k}", "day_night": "day", "labelled": True, "objects": objects})
    (root / "frames.json").write_text(json.dumps(entries))
    return root


def evaluate(root: Path, model: Path, out: Path, *more: str) -> int:
    arguments = ["--data", str(root), "--model", str(model), "--json", str(out), *more]
    return cli.main(["evaluate", "robustness", *arguments])


def test_every_fault_of_the_issue_with_its_levels() -> None:
    levels: dict[str, list[int]] = {}
    for condition in list(all_conditions(crops=False))[1:]:
        levels.setdefault(condition.name, []).append(condition.level)
    five = list(range(1, 6))
    for fault in ("low_light", "overexposure", "haze", "blur", "noise"):
        assert levels[f"visible_{fault}"] == five
    for fault in ("stripe_noise", "low_contrast", "blur", "dead_pixels"):
        assert levels[f"thermal_{fault}"] == five
    assert levels["misalignment"] == [2, 4, 8, 16]
    for camera in ("visible", "thermal"):
        assert {f"{camera}_{fault}" for fault in ("black", "frozen", "late")} < set(levels)


def test_drops_are_told_against_clean_images(frames: Path, labelled_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = ["--report", str(tmp_path / "report")]
    assert evaluate(frames, labelled_model, tmp_path / "one.json", "--jobs", "1", *report) == 0
    assert evaluate(frames, labelled_model, tmp_path / "two.json", "--jobs", "2") == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    result = json.loads((tmp_path / "one.json").read_text())
    assert result["n"] == 3
    assert result["clean"]["classification"]["macro_f1"] == {"value": 1, "drop": 0}
    assert set(result["clean"]["fusion"]["vi_fusion"]) == set(RANKED)
    black = result["conditions"]["visible_black"]["levels"]["0"]
    assert black["classification"]["macro_f1"] == {"value": 0.5, "drop": 0.5}  # no person is seen any more
    ours, maximum = (black["fusion"][method]["SCD"]["mean"] for method in ("vi_fusion", "MAX"))
    assert ours == pytest.approx(maximum, rel=0.01)  # the tiny model is MAX but for the rounding of colours
    row = result["conditions"]["misalignment"]["levels"]["16"]["fusion"]["vi_fusion"]["Qabf"]
    clean = result["clean"]["fusion"]["vi_fusion"]["Qabf"]["mean"]
    assert row["drop"] == pytest.approx((clean - row["mean"]) / clean, abs=1e-4)
    assert row["drop_ci95"][0] <= row["drop"] <= row["drop_ci95"][1]
    opened(tmp_path / "report" / "index.html")


def test_crops_are_judged_but_say_nothing_of_fusion(labelled_model: Path, tmp_path: Path) -> None:
    for k in range(4):
        label, bright = (("person", 220), ("car", 30))[k % 2]
        for kind, level in (("visible", bright), ("thermal", 255 - bright)):
            path = tmp_path / f"crops/day/{kind}/{label}/0000{k}_0.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((20, 15), level, np.uint8))
    assert evaluate(tmp_path / "crops", labelled_model, tmp_path / "out.json", "--jobs", "1") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["clean"]["fusion"] is None
    assert result["clean"]["classification"]["accuracy"]["value"] == 1
    assert "visible_late" not in result["conditions"]
    # With both dark or warm the answer is the other camera's.
    assert result["conditions"]["visible_low_light"]["levels"]["5"]["classification"]["accuracy"]["value"] < 1


def test_frozen_and_late_images_come_from_earlier_in_the_sequence(frames: Path) -> None:
    view = PairView(PairSet.find(frames), 2)
    frozen, _ = corrupted(view, Condition("visible_frozen"), 0)
    np.testing.assert_array_equal(frozen, cv2.imread(str(frames / "visible/f0.png")))
    visible, late = corrupted(view, Condition("thermal_late", 1), 0)
    np.testing.assert_array_equal(late, cv2.imread(str(frames / "thermal/f1.png"), cv2.IMREAD_GRAYSCALE))
    np.testing.assert_array_equal(visible, view.visible)
    assert corrupted(view, Condition("thermal_missing"), 0)[1] is None


def test_a_limit_spreads_the_pairs(frames: Path) -> None:
    assert PairSet.find(frames, limit=2).indices == (0, 1)
    assert PairSet.find(frames, limit=99).indices == (0, 1, 2)


def test_a_broken_image_makes_the_result_partial(
    frames: Path, labelled_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("visible", "thermal"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for name in ("f1.png", "f2.png"):
            (tmp_path / "data" / kind / name).write_bytes((frames / kind / name).read_bytes())
    (tmp_path / "data/thermal/f2.png").write_bytes(b"broken")
    assert evaluate(tmp_path / "data", labelled_model, tmp_path / "out.json", "--jobs", "1") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["n"], result["partial"]) == (1, True)
    assert result["clean"]["classification"] is None  # nothing is labelled
    assert "f2.png: corrupt or not an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"), [("nowhere", "no such folder; expected a dataset"), (".", "expected one of these layouts")]
)
def test_a_broken_folder_is_one_sentence_and_exit_code_2(
    labelled_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sentence: str
) -> None:
    assert evaluate(tmp_path / name, labelled_model, tmp_path / "out.json") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
