"""Classification figures: known answers, the run over folders, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium import opened

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.metrics.classification import calibration_error, report
from vi_fusion_ros.evaluation.prediction import MODALITIES, Judged, Verdict, guess_layout, judge
from vi_fusion_ros.training.datasets.base import Box, Sample

LABELS = ("person", "car", "bicycle")


def judged(
    truth: list[set[str]],
    probabilities: list[list[float]],
    layout: str = "crops",
    light: list[str | None] | None = None,
    size: tuple[int, int] = (20, 20),
    known: frozenset[str] = frozenset(LABELS),
    boxes: tuple[Box, ...] = (),
) -> Judged:
    lights = light or ["day"] * len(truth)
    samples = [
        Sample(str(i), Path("v"), Path("t"), frozenset(labels), known, boxes, lights[i])
        for i, labels in enumerate(truth)
    ]
    verdicts = [Verdict(np.tile(row, (len(MODALITIES), 1)), "day", size) for row in probabilities]
    return Judged(layout, LABELS, np.full((len(MODALITIES), 3), 0.5), samples, verdicts)


def test_a_perfect_model() -> None:
    result = report(judged([{"person"}, {"car"}, {"bicycle"}] * 4, np.eye(3).tolist() * 4))
    for key in ("macro_f1", "micro_f1", "accuracy", "roc_auc", "average_precision"):
        assert result[key] == 1
    assert result["ece"] == 0
    assert result["confusion"]["counts"] == (4 * np.eye(3, dtype=int)).tolist()
    assert result["ci95"] == {"macro_f1": [1, 1], "accuracy": [1, 1]}
    assert result["n"] == 12
    assert result["illumination"]["accuracy"] == 1


def test_known_counts_of_one_label_a_sample() -> None:
    truth = [{"person"}] * 4 + [{"car"}] * 4
    person, car = [0.4, 0.3, 0.1], [0.3, 0.4, 0.1]  # below any threshold: the most probable one decides
    result = report(judged(truth, [person, person, person, car, car, car, person, person]))
    assert result["accuracy"] == pytest.approx(5 / 8)
    assert result["micro_f1"] == pytest.approx(5 / 8)
    assert result["by_class"]["person"]["precision"] == pytest.approx(3 / 5)
    assert result["by_class"]["person"]["recall"] == pytest.approx(3 / 4)
    assert result["by_class"]["car"]["f1"] == pytest.approx(4 / 7)
    assert result["macro_f1"] == pytest.approx((2 / 3 + 4 / 7) / 2)  # no bicycle occurs, none is averaged
    assert result["by_class"]["bicycle"]["n"] == 0
    assert result["by_class"]["bicycle"]["roc_auc"] is None
    low, high = result["ci95"]["macro_f1"]
    assert low < result["macro_f1"] < high


def test_many_labels_a_frame_are_decisions_of_their_own() -> None:
    truth: list[set[str]] = [{"person", "car"}, set(), {"car"}]
    result = report(judged(truth, [[0.9, 0.6, 0.1], [0.8, 0.2, 0.1], [0.2, 0.4, 0.1]], layout="roadscene"))
    assert result["accuracy"] == pytest.approx(7 / 9)
    assert result["by_class"]["person"]["precision"] == 0.5
    assert result["by_class"]["car"]["recall"] == 0.5
    assert result["confusion"]["car"] == [[1, 0], [1, 1]]


def test_unknown_presence_counts_for_nothing() -> None:
    rows = [[0.9, 0.9, 0.9], [0.1, 0.9, 0.9]]
    result = report(judged([{"person"}, set()], rows, layout="roadscene", known=frozenset({"person"})))
    assert result["accuracy"] == 1
    assert result["by_class"]["car"] == {
        "n": 0, "precision": 0, "recall": 0, "f1": 0, "roc_auc": None, "average_precision": None, "ece": None
    }  # fmt: skip


def test_day_and_night_apart() -> None:
    truth, rows = [{"person"}, {"person"}, {"car"}], [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.9, 0]]
    result = report(judged(truth, rows, light=["day", "night", None]))
    assert (result["day"]["n"], result["day"]["accuracy"]) == (1, 1)
    assert (result["night"]["n"], result["night"]["accuracy"]) == (1, 0)
    assert result["illumination"] == {"n": 2, "accuracy": 0.5, "labels": ["day", "night"], "counts": [[1, 0], [1, 0]]}
    assert report(judged(truth, rows))["night"] == {"n": 0}


def test_recall_by_size_of_crop_and_of_the_largest_box() -> None:
    crops = report(judged([{"person"}, {"car"}], [[1, 0, 0], [1, 0, 0]], size=(32, 32)))["by_size"]
    assert crops["medium"]["n"] == 2
    assert crops["medium"]["recall"] == 0.5
    assert crops["medium"]["by_class"]["car"] == {"n": 1, "recall": 0}
    assert crops["small"]["recall"] is None
    boxes = (Box("car", 0, 0, 10, 10), Box("car", 0, 0, 100, 100))
    frames = report(judged([{"car"}], [[0, 1, 0]], layout="roadscene", boxes=boxes))["by_size"]
    assert frames["large"]["by_class"]["car"] == {"n": 1, "recall": 1}
    assert frames["small"]["n"] == 0


def test_calibration_error_of_known_cases() -> None:
    present = np.arange(100) % 10 == 0
    assert calibration_error(np.full(100, 0.1), present) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.9), present) == pytest.approx(0.8)
    halves = np.repeat([0.1, 0.9], 100)
    assert calibration_error(halves, np.concatenate([present, present])) == pytest.approx(0.4)


def test_the_threshold_table_holds_the_models_own() -> None:
    thresholds = report(judged([{"person"}, {"car"}], [[0.9, 0.1, 0], [0.2, 0.8, 0]]))["thresholds"]["person"]
    by_value = {row["threshold"]: row for row in thresholds}
    assert by_value[0.5] == {"threshold": 0.5, "precision": 1, "recall": 1, "f1": 1}
    assert by_value[0.15]["precision"] == 0.5
    assert by_value[0.95]["recall"] == 0


@pytest.fixture(scope="module")
def crop_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, for which a bright visible image is a car and a bright thermal one a person."""
    tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")
    names = {"labels": ["car", "person"], "thresholds": {"car": 0.5, "person": 0.5}}
    path: Path = tiny_model.write_model(tmp_path_factory.mktemp("model") / "crops.onnx", names)
    return path


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Twelve crops; persons are bright and cars dark in the thermal image."""
    rng = np.random.default_rng(0)
    for light in ("day", "night"):
        for label, level in (("person", 230), ("car", 20)):
            for kind, mean in (("visible", 120), ("thermal", level)):
                folder = tmp_path / light / kind / label
                folder.mkdir(parents=True)
                for box in range(3):
                    pixels = np.clip(rng.normal(mean, 5, (24, 31, 3 if kind == "visible" else 1)), 0, 255)
                    cv2.imwrite(str(folder / f"00010_{box}.png"), pixels.astype(np.uint8))
    return tmp_path


def test_processes_do_not_change_the_verdicts(crops: Path, crop_model: Path) -> None:
    alone, together = (report(judge(crops, "crops", crop_model, jobs)) for jobs in (1, 2))
    assert alone == together
    assert alone["n"] == 12
    assert alone["accuracy"] == 1
    assert alone["modality"]["thermal_black"]["accuracy"] == 0.5  # the visible images say car, all of them
    assert set(alone["modality"]) == {"both", "visible_black", "thermal_black"}
    assert alone["modality"]["both"]["macro_f1"] == alone["macro_f1"]


def test_corrupt_crops_are_left_out_and_named(crops: Path, crop_model: Path) -> None:
    (crops / "day" / "visible" / "car" / "00010_0.png").write_bytes(b"")
    (crops / "night" / "thermal" / "car" / "00010_1.png").unlink()
    result = report(judge(crops, "crops", crop_model, 1))
    assert result["n"] == 10
    assert result["partial"] is True
    assert any("00010_1.png: no thermal partner" in problem for problem in result["problems"])
    assert any("00010_0.png: corrupt or not an image" in problem for problem in result["problems"])


def test_the_command(crops: Path, crop_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.json"
    arguments = ["--data", str(crops), "--model", str(crop_model), "--json", str(out), "--jobs", "1"]
    assert cli.main(["evaluate", "classification", *arguments, "--report", str(tmp_path / "report")]) == 0
    result = json.loads(out.read_text())
    assert {"n", "macro_f1", "accuracy", "roc_auc", "ece", "by_class", "day", "night", "modality"} <= set(result)
    assert "visible_black" in capsys.readouterr().out
    assert opened(tmp_path / "report" / "index.html") >= 4  # curves, confusion, calibration, examples


def test_a_folder_that_is_no_dataset_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, sentence in (("nowhere", "no such folder"), (".", "expected one of these layouts: crops, roadscene")):
        arguments = ["--data", str(tmp_path / folder), "--json", str(tmp_path / "out.json")]
        assert cli.main(["evaluate", "classification", *arguments]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1


def test_a_dataset_without_labels_is_an_error(tmp_path: Path, crop_model: Path) -> None:
    for kind in ("visible", "thermal"):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), np.zeros((32, 32), np.uint8))
    (tmp_path / "frames.json").write_text("[]")
    assert guess_layout(tmp_path) == "roadscene"
    with pytest.raises(ValueError, match="none of the 1 pairs has a known label of the model"):
        judge(tmp_path, "roadscene", crop_model, 1)
