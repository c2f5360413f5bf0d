"""Methods whose values come from a file stand beside those that are computed."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.fusion.baselines import read_baselines, with_baselines
from vi_fusion_ros.evaluation.fusion.folders import evaluate_folders, find_frames
from vi_fusion_ros.evaluation.metrics.fusion import METRICS

FRAMES = ("a", "b")
RANKED = ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM2")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for kind in ("visible", "thermal"):
        (tmp_path / kind).mkdir()
        for name in FRAMES:
            image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80), dtype=np.uint8), (0, 0), 1.5)
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), image)
    return tmp_path


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(frame: str, method: str, value: float = 1.0) -> dict[str, object]:
    return {"frame": frame, "method": method, **dict.fromkeys(RANKED, value)}


def test_the_highest_values_of_all_rank_first_and_a_missing_metric_stays_empty(folders: Path) -> None:
    peers = write(folders / "peers.csv", [row(f, m, v) for f in FRAMES for m, v in (("Best", 1e6), ("Worst", -1e6))])
    arguments = ["--visible", str(folders / "visible"), "--thermal", str(folders / "thermal"), "--jobs", "1"]
    report = ["--report", str(folders / "report")]
    more = ["--peers", str(peers), "--json", str(folders / "out.json"), *report]
    assert cli.main(["evaluate", "fusion", *arguments, *more]) == 0
    result = json.loads((folders / "out.json").read_text())
    assert result["peers"] == ["Best", "Worst"]
    assert result["mean_rank"]["Best"] == 1
    assert result["mean_rank"]["Worst"] == 5  # of Best, Worst, our model, AVG and MAX; VIS and IR move nobody
    assert result["methods"]["Best"]["SSIM"]["mean"] == 1e6
    assert result["methods"]["Best"]["MS_SSIM"] == {"mean": None, "ci95": [None, None]}
    assert '<td class="plain">–</td>' in (folders / "report" / "index.html").read_text(encoding="utf-8")


def test_values_are_taken_by_frame_whatever_their_order(folders: Path) -> None:
    path = write(folders / "peers.csv", [row("unused", "M", 9), row("b", "M", 2), row("a", "M", 1)])
    frames, _ = find_frames(folders / "visible", folders / "thermal", {})
    evaluation = with_baselines(evaluate_folders(frames, None, 1), read_baselines(path), path)
    assert evaluation.values[:, evaluation.methods.index("M"), list(METRICS).index("EN")].tolist() == [1, 2]
    assert math.isnan(evaluation.values[0, -1, list(METRICS).index("MS_SSIM")])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no column frame, method, EN"),
        ("frame,method\n", "has no column EN, SD, SF, MI, SCD, VIF, Qabf, SSIM; expected"),
        ("frame,method,EN,SD,SF,MI,SCD,VIF,Qabf,SSIM\n", "holds no row"),
        ("frame,method,EN,SD,SF,MI,SCD,VIF,Qabf,SSIM\na,M,1,2\n", "line 2, SF: ''; expected a finite number"),
        ("frame,method,EN,SD,SF,MI,SCD,VIF,Qabf,SSIM\na,M,nan,2,3,4,5,6,7,8\n", "EN: 'nan'; expected a finite"),
        ("frame,method,EN,SD,SF,MI,SCD,VIF,Qabf,SSIM\n,M,1,2,3,4,5,6,7,8\n", "no method or no frame"),
        (
            "frame,method,EN,SD,SF,MI,SCD,VIF,Qabf,SSIM\na,M,1,2,3,4,5,6,7,8\na,M,1,2,3,4,5,6,7,8\n",
            "line 3: a second row of method M and frame a",
        ),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "peers.csv").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_baselines(tmp_path / "peers.csv")


def test_an_image_is_no_csv_file(folders: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.png: no CSV file"):
        read_baselines(folders / "visible" / "a.png")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row("a", "M")], "method M has no values for 1 of 2 frames, the first is 'b'"),
        ([row(f, "MAX") for f in FRAMES], "the method MAX is evaluated already"),
        ([row(f, "vi_fusion") for f in FRAMES], "the method vi_fusion is evaluated already"),
    ],
)
def test_values_that_do_not_fit_are_one_sentence(folders: Path, rows: list, sentence: str) -> None:
    path = write(folders / "peers.csv", rows)
    frames, _ = find_frames(folders / "visible", folders / "thermal", {})
    with pytest.raises(ValueError, match=sentence):
        with_baselines(evaluate_folders(frames, None, 1), read_baselines(path), path)


@pytest.mark.data
def test_the_published_networks_values_are_read(data_dir: Path) -> None:
    peers = read_baselines(data_dir / "fusion_peers_roadscene_dev.csv")
    assert {len(frames) for frames in peers.values()} == {144}
    assert peers["IFCNN"]["FLIR_00006"][0] > 0
