"""``evaluate cross``: one model over several datasets, in whatever layouts they lie."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium import opened
from layout_maker import MAKERS

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.metrics.fusion import METRICS


@pytest.fixture(scope="module")
def labelled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")
    changes = {
        "labels": ["person", "car"],
        "thresholds": {"person": 0.5, "car": 0.5},
        "training": {"data": ["a street", "a yard"]},
    }
    return tiny_model.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three datasets: labelled frames, unlabelled frames in scenes, crops."""
    root = tmp_path_factory.mktemp("data")
    MAKERS["llvip"](root / "llvip")
    rng = np.random.default_rng(0)
    for kind, channels in (("visible", 3), ("thermal", 1)):
        for scene in ("yard", "street"):
            (root / f"plain/{kind}/{scene}").mkdir(parents=True)
            image = cv2.GaussianBlur(rng.integers(0, 256, (50, 70, channels), dtype=np.uint8), (0, 0), 1.5)
            cv2.imwrite(str(root / f"plain/{kind}/{scene}/1.png"), image)
        for label in ("person", "car"):
            folder = root / f"crops/night/{kind}/{label}"
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "00001_0.jpg"), np.full((20, 15), 200 if label == "person" else 30, np.uint8))
    return root


def evaluate(model: Path, out: Path, *more: str) -> int:
    return cli.main(["evaluate", "cross", *more, "--model", str(model), "--json", str(out), "--jobs", "1"])


def test_every_dataset_has_what_it_can_have(data: Path, labelled_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, report = tmp_path / "out.json", tmp_path / "report"
    folders = (str(data / "llvip"), f"paired={data / 'plain'}", str(data / "crops"))
    assert evaluate(labelled_model, out, *folders, "--report", str(report)) == 0
    result = json.loads(out.read_text())
    assert list(result["datasets"]) == ["llvip", "plain", "crops"]
    assert [row["layout"] for row in result["datasets"].values()] == ["llvip", "paired", "crops"]
    assert [row["n"] for row in result["datasets"].values()] == [4, 2, 2]
    assert result["n"] == 8
    assert result["training_data"] == ["a street", "a yard"]
    llvip, plain, crops = result["datasets"].values()
    assert set(llvip["fusion"]["methods"]) == {"vi_fusion", "VIS", "IR", "AVG", "MAX"}
    assert set(llvip["fusion"]["methods"]["vi_fusion"]) == set(METRICS)
    assert llvip["classification"]["n"] == 4
    assert llvip["classification"]["by_class"]["person"]["n"] == 2
    assert plain["classification"] is None
    assert crops["fusion"] is None
    assert crops["classification"]["accuracy"] == 0.5  # both cameras say the same of each
    scores = {name: row["fusion"]["methods"]["vi_fusion"]["SD"]["mean"] for name, row in
              (("llvip", llvip), ("plain", plain))}  # fmt: skip
    spread = result["spread"]["fusion"]["SD"]
    assert (spread["lowest"], spread["highest"]) == (min(scores, key=scores.get), max(scores, key=scores.get))
    average = plain["fusion"]["methods"]["AVG"]["EN"]["mean"]
    gain = plain["fusion"]["methods"]["vi_fusion"]["EN"]["mean"] / average - 1
    assert plain["fusion"]["gain_over_average"]["EN"] == pytest.approx(gain, abs=1e-5)
    assert opened(report / "index.html") == 1 + 3 + 2  # the plot, and best, median and worst of each


def test_the_fusion_values_are_those_of_evaluate_fusion(data: Path, labelled_model: Path, tmp_path: Path) -> None:
    assert evaluate(labelled_model, tmp_path / "cross.json", str(data / "plain")) == 0
    cross = json.loads((tmp_path / "cross.json").read_text())["datasets"]["plain"]["fusion"]["methods"]
    for scene in ("street", "yard"):
        folders = [f"--{kind}={data / 'plain' / kind / scene}" for kind in ("visible", "thermal")]
        out = tmp_path / f"{scene}.json"
        more = ["--model", str(labelled_model), "--json", str(out), "--jobs", "1"]
        assert cli.main(["evaluate", "fusion", *folders, *more]) == 0
    alone = [json.loads((tmp_path / f"{s}.json").read_text())["methods"]["vi_fusion"] for s in ("street", "yard")]
    for metric in ("EN", "SCD", "Qabf"):
        expected = (alone[0][metric]["mean"] + alone[1][metric]["mean"]) / 2
        assert cross["vi_fusion"][metric]["mean"] == pytest.approx(expected, abs=2e-6)


def test_two_folders_of_one_name_go_by_their_paths(data: Path, labelled_model: Path, tmp_path: Path) -> None:
    (tmp_path / "crops").symlink_to(data / "crops")
    paths = [str(tmp_path / "crops"), str(data / "crops")]
    assert evaluate(labelled_model, tmp_path / "out.json", *paths, "--limit", "1") == 0
    result = json.loads((tmp_path / "out.json").read_text())["datasets"]
    assert list(result) == paths
    assert [row["n"] for row in result.values()] == [1, 1]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["nowhere"], "nowhere: no such folder; expected a dataset"),
        (["llvip", "llvip"], "is given twice; expected different datasets"),
        (["m3fd=llvip"], "neither Vis nor Ir; expected"),
        (["flir"], "expected one of these layouts"),
    ],
)
def test_a_broken_dataset_is_one_sentence(
    data: Path,
    labelled_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    sentence: str,
) -> None:
    (tmp_path / "flir" / "images_thermal_train").mkdir(parents=True)
    root = {"nowhere": data, "llvip": data, "m3fd=llvip": data, "flir": tmp_path}
    paths = [f"m3fd={data / 'llvip'}" if name == "m3fd=llvip" else str(root[name] / name) for name in names]
    assert evaluate(labelled_model, tmp_path / "out.json", *paths) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
