"""``vi-fusion explain`` on a dataset with boxes, on files and on a bag, with a model of this package's network."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from bag_maker import THERMAL, VISIBLE, streams, write_bag
from chromium import opened

from vi_fusion_ros import cli

pytest.importorskip("captum", reason="captum is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Two frames of RoadScene's layout with a box each."""
    rng, entries = np.random.default_rng(0), []
    for stem in ("f1", "f2"):
        for kind, channels in (("visible", 3), ("thermal", 1)):
            (tmp_path / kind).mkdir(exist_ok=True)
            image = cv2.GaussianBlur(rng.integers(0, 256, (72, 100, channels), dtype=np.uint8), (0, 0), 2)
            cv2.imwrite(str(tmp_path / kind / f"{stem}.png"), image)
        boxes = [{"class": "person", "box_xyxy": [20, 10, 40, 60]}]
        entries.append({"frame": stem, "day_night": "day", "labelled": True, "objects": boxes})
    (tmp_path / "frames.json").write_text(json.dumps(entries))
    return tmp_path


Explain = Callable[..., int]


@pytest.fixture
def explain(network_model: Path) -> Explain:
    """The command, which writes its JSON to the first argument."""
    return lambda out, *given: cli.main(["explain", *given, "--model", str(network_model), "--json", str(out)])


def test_a_dataset_with_boxes_and_a_report(explain: Explain, frames: Path) -> None:
    report = frames / "report"
    assert explain(frames / "out.json", "--data", str(frames), "--report", str(report)) == 0
    result = json.loads((frames / "out.json").read_text())
    assert (result["n"], result["saliency"], result["partial"]) == (2, "gradient", False)
    person = result["pairs"][0]["labels"]["person"]  # it has a box, whatever the model says
    assert sum(person["contribution"].values()) == pytest.approx(person["probability"], abs=1e-5)
    for kind in ("class_activation", "saliency"):
        assert person[kind]["boxes"]["area"] == pytest.approx(20 * 50 / 7200, abs=1e-6)
        assert 0 <= person[kind]["boxes"]["energy"] <= 1
        assert 0 <= person[kind]["deletion"] <= 1
        assert 0 <= result["mean"][kind]["insertion"] <= 1
    assert opened(report / "index.html") == 2
    assert cv2.imread(str(report / "f1.jpg")).shape[1] == 1600


def test_a_pair_of_images_by_perturbation(explain: Explain, frames: Path) -> None:
    images = [f"--{kind}={frames / kind / 'f1.png'}" for kind in ("visible", "thermal")]
    assert explain(frames / "out.json", *images, "--saliency", "perturbation") == 0
    result = json.loads((frames / "out.json").read_text())
    assert result["saliency"] == "perturbation"
    assert [pair["name"] for pair in result["pairs"]] == ["f1"]
    assert "energy" not in result["mean"]["saliency"]


def test_frames_of_a_bag_evenly_spread(explain: Explain, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", streams(0.4))
    topics = ["--visible-topic", VISIBLE, "--thermal-topic", THERMAL]
    assert explain(tmp_path / "out.json", "--bag", str(bag), *topics, "--limit", "2") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    stamps = [int(pair["name"]) for pair in result["pairs"]]
    assert len(stamps) == 2
    assert (stamps[1] - stamps[0]) / 1e9 == pytest.approx(0.2, abs=0.01)


def test_a_broken_image_is_left_out_and_named(
    explain: Explain, frames: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (frames / "thermal" / "f2.png").write_bytes(b"broken")
    assert explain(frames / "out.json", "--data", str(frames)) == 0
    result = json.loads((frames / "out.json").read_text())
    assert (result["n"], result["partial"]) == (1, True)
    assert "f2.png: corrupt or not an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected --visible and --thermal, or --data, or --bag"),
        (["--visible", "a.png"], "expected both --visible and --thermal"),
        (["--data", "nowhere", "--bag", "b"], "one of the three"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--bag", "nowhere"], "--bag needs --visible-topic and --thermal-topic"),
        (["--visible", "no.png", "--thermal", "no.png"], "no.png is missing; expected an image, a folder or a video"),
        (["--data", ".", "--limit", "0"], "--limit 0; expected at least 1"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    explain: Explain, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert explain(tmp_path / "out.json", *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_without_captum_one_sentence_names_it(
    explain: Explain, frames: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("captum", "vi_fusion_ros.explain."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert explain(frames / "out.json", "--data", str(frames)) == 2
    assert "'explain' needs the Python package captum" in capsys.readouterr().err
