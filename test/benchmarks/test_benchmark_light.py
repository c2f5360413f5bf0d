"""``vi-fusion benchmark light``: the shipped model beside itself on made frames."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from vi_fusion_ros import cli
from vi_fusion_ros.evaluation.reports.light import chart
from vi_fusion_ros.resources import default_model


def frames(root: Path, labelled: bool = True) -> Path:
    """Four frames of 64x64 pixels with a table of labels; a car in two of them."""
    rng = np.random.default_rng(0)
    for camera in ("visible", "thermal"):
        (root / camera).mkdir(parents=True)
    rows = ["frame,time,person,car,bicycle"]
    for number in range(1, 5):
        for camera, shape in (("visible", (64, 64, 3)), ("thermal", (64, 64))):
            cv2.imwrite(str(root / camera / f"{number:05d}D.png"), rng.integers(0, 256, shape, np.uint8))
        rows.append(f"{number:05d}D,day,,{number % 2 if labelled else 1},")
    (root / "presence.csv").write_text("\n".join(rows) + "\n")
    return root


def test_a_model_beside_itself_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [f"{name}={default_model()}" for name in ("one", "other")]
    common = ["--size", "64x64", "--threads", "1", "--runs", "3", "--jobs", "1", "--json", str(tmp_path / "out.json")]
    data = ["--data", str(frames(tmp_path / "campus"))]
    assert cli.main(["benchmark", "light", *models, *data, *common, "--report", str(tmp_path / "report")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    one, other = result["rows"]
    assert result["frames"] == 4
    assert one["time"] == 1
    assert other["lost"] == {"Qabf": 0, "VIF": 0, "auc": 0}
    assert not other["light"], "it takes as long"
    assert 0 <= one["auc"] == one["auc_by_label"]["car"] <= 1
    assert "other" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").read_text().count("<img") == 1
    titles = [axes.get_title() for axes in chart(result).axes]
    assert titles == ["Qabf", "VIF", "presence, ROC-AUC"]

    other["lost"]["auc"] = 0.104
    of_qabf, _, of_auc = ([text.get_text() for text in axes.texts] for axes in chart(result).axes)
    assert of_qabf == ["one", "other"]
    assert of_auc == ["one", "other\n0.104 lost"]

    data = ["--data", str(frames(tmp_path / "all_the_same", labelled=False))]
    assert cli.main(["benchmark", "light", *models, *data, *common]) == 2
    assert "expected frames that tell" in capsys.readouterr().err
    assert cli.main(["benchmark", "light", "unnamed", *data, *common]) == 2
    assert "expected NAME=ONNX" in capsys.readouterr().err
