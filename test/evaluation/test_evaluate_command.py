"""``vi-fusion evaluate``: its options, its JSON and its report, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from chromium import opened

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.metrics.fusion import METRICS


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind, channels in (("visible", 3), ("thermal", 1)):
        (tmp_path / kind).mkdir()
        for name in ("0001", "0002"):
            image = cv2.GaussianBlur(rng.integers(0, 256, (70, 90, channels), dtype=np.uint8), (0, 0), 2)
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), image)
    return tmp_path


def evaluate_fusion(root: Path, *more: str) -> int:
    folders = ["--visible", str(root / "visible"), "--thermal", str(root / "thermal")]
    return cli.main(["evaluate", "fusion", *folders, "--json", str(root / "out.json"), "--jobs", "1", *more])


def test_fusion_with_our_model(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_fusion(pairs, "--fused", f"theirs={pairs / 'thermal'}") == 0
    result = json.loads((pairs / "out.json").read_text())
    assert result["n"] == 2
    assert set(result["methods"]) == {"vi_fusion", "VIS", "IR", "AVG", "MAX", "theirs"}
    assert set(result["methods"]["vi_fusion"]) == set(METRICS)
    assert result["methods"]["theirs"] == result["methods"]["IR"]
    assert len(result["model"]["onnx_sha256"]) == 64
    assert "vi_fusion" in capsys.readouterr().out


def test_two_runs_write_the_same_bytes(pairs: Path) -> None:
    evaluate_fusion(pairs)
    first = (pairs / "out.json").read_bytes()
    evaluate_fusion(pairs)
    assert (pairs / "out.json").read_bytes() == first


def test_the_report_is_one_page_without_a_broken_image(pairs: Path) -> None:
    pytest.importorskip("matplotlib")
    assert evaluate_fusion(pairs, "--report", str(pairs / "report")) == 0
    assert [path.name for path in (pairs / "report").iterdir()] == ["index.html"]
    text = (pairs / "report" / "index.html").read_text(encoding="utf-8")
    assert all(metric.source in text for metric in METRICS.values())
    assert opened(pairs / "report" / "index.html") == 3  # the spread and both frames


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--visible", "nowhere"], "nowhere: no such folder; expected a folder of images"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--fused", "A=visible", "--fused", "A=thermal"], "the names A, A are not unique"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(
    pairs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert evaluate_fusion(pairs, *arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (pairs / "out.json").exists()


@pytest.mark.parametrize("arguments", [["--fused", "name"], ["--jobs", "0"]])
def test_wrong_options_say_what_was_expected(
    pairs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        evaluate_fusion(pairs, *arguments)
    assert stopped.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_a_partial_result_says_so(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pairs / "thermal" / "0002.png").write_bytes(b"broken")
    assert evaluate_fusion(pairs) == 0
    result = json.loads((pairs / "out.json").read_text())
    assert result["partial"] is True
    assert result["n"] == 1
    captured = capsys.readouterr().err
    assert "partial result, 1 problems" in captured
    assert "0002.png: corrupt or not an image" in captured
