"""Fusion evaluation over folders: pairing, partial results, the same values from any number of processes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from vi_fusion_ros.evaluation.fusion.evaluation import trivial_fusions
from vi_fusion_ros.evaluation.fusion.folders import evaluate_folders, find_frames
from vi_fusion_ros.evaluation.metrics.fusion import METRICS, fusion_metrics, to_gray
from vi_fusion_ros.evaluation.output import write_json


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three small pairs and another method's results."""
    rng = np.random.default_rng(0)
    for kind, shape in (("visible", (60, 80, 3)), ("thermal", (60, 80)), ("other", (60, 80))):
        (tmp_path / kind).mkdir()
        for name in ("a", "b", "c"):
            image = cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 1.5)
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), image)
    return tmp_path


def found(root: Path) -> tuple[list, list[str]]:
    return find_frames(root / "visible", root / "thermal", {"other": root / "other"})


def test_every_method_on_every_frame(folders: Path) -> None:
    frames, problems = found(folders)
    evaluation = evaluate_folders(frames, None, jobs=1)
    assert problems == []
    assert evaluation.frames == ["a", "b", "c"]
    assert evaluation.methods == ("VIS", "IR", "AVG", "MAX", "other")
    visible, thermal, other = (
        to_gray(cv2.imread(str(folders / kind / "b.png"), cv2.IMREAD_UNCHANGED))
        for kind in ("visible", "thermal", "other")
    )
    expected = list(fusion_metrics(other, visible, thermal).values())
    np.testing.assert_allclose(evaluation.values[1, 4], expected)


def test_processes_do_not_change_the_result(folders: Path) -> None:
    frames, _ = found(folders)
    alone, together = (evaluate_folders(frames, None, jobs).summary() for jobs in (1, 2))
    assert alone == together


def test_the_summary_is_what_the_contract_says(folders: Path) -> None:
    frames, _ = found(folders)
    summary = evaluate_folders(frames, None, jobs=1).summary()
    write_json(folders / "out" / "result.json", summary)
    result = json.loads((folders / "out" / "result.json").read_text())
    assert result["n"] == 3
    assert result["partial"] is False
    assert set(result["methods"]) == set(result["mean_rank"]) == {"VIS", "IR", "AVG", "MAX", "other"}
    for values in result["methods"].values():
        assert list(values) == list(METRICS)
        for entry in values.values():
            low, high = entry["ci95"]
            assert low <= entry["mean"] <= high
    assert result["per_frame"]["MAX"]["EN"] == pytest.approx([result["per_frame"]["MAX"]["EN"][i] for i in range(3)])
    assert len(result["frames"]) == 3
    assert [p.name for p in (folders / "out").iterdir()] == ["result.json"]


def test_an_infinite_value_is_null_in_json(folders: Path) -> None:
    for name in ("a", "b", "c"):
        grey = cv2.imread(str(folders / "thermal" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(folders / "visible" / f"{name}.png"), grey)
    frames, _ = found(folders)
    write_json(folders / "result.json", evaluate_folders(frames, None, jobs=1).summary())
    result = json.loads((folders / "result.json").read_text())
    assert result["methods"]["MAX"]["PSNR"] == {"mean": None, "ci95": [None, None]}
    assert math.isfinite(result["methods"]["MAX"]["EN"]["mean"])


def test_mean_rank_is_one_for_who_is_best_in_all(folders: Path) -> None:
    frames, _ = found(folders)
    evaluation = evaluate_folders(frames, None, jobs=1)
    evaluation.values[:, evaluation.methods.index("AVG")] = 1e6
    assert evaluation.mean_rank()["AVG"] == 1
    np.testing.assert_array_equal(evaluation.frame_ranks("AVG"), 1)


def test_the_interval_of_a_mean_rank_tells_a_clear_lead_from_one_that_frames_decide(folders: Path) -> None:
    frames, _ = found(folders)
    evaluation = evaluate_folders(frames, None, jobs=1)
    methods = evaluation.methods
    rng = np.random.default_rng(0)
    evaluation.frames = [str(n) for n in range(20)]
    evaluation.values = rng.normal(size=(20, len(methods), len(METRICS)))
    evaluation.values[:, methods.index("AVG")] += 10  # best on every frame
    intervals = evaluation.summary()["mean_rank_ci95"]
    assert intervals["AVG"] == [1, 1]
    low, high = intervals["other"]
    assert 2 <= low <= evaluation.mean_rank()["other"] <= high <= 3
    assert high - low > 0.2


def test_images_that_cannot_be_used_are_left_out_and_named(folders: Path) -> None:
    (folders / "thermal" / "a.png").write_bytes(b"no image")
    cv2.imwrite(str(folders / "other" / "b.png"), np.zeros((50, 80), np.uint8))
    cv2.imwrite(str(folders / "visible" / "alone.png"), np.zeros((60, 80), np.uint8))
    frames, problems = found(folders)
    evaluation = evaluate_folders(frames, None, 1, problems)
    assert evaluation.frames == ["c"]
    assert evaluation.summary()["partial"] is True
    alone, corrupt, size = evaluation.problems
    assert "alone.png: no thermal partner" in alone
    assert "a.png: corrupt or not an image" in corrupt
    assert "b.png: 80x50, the visible image is 80x60; expected the same size" in size


def test_files_of_any_kind_of_image_are_frames(folders: Path) -> None:
    for kind in ("visible", "thermal", "other"):
        for path in sorted((folders / kind).iterdir()):
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            path.with_suffix(".PGM").write_bytes(cv2.imencode(".pgm", image)[1].tobytes())
            path.unlink()
    evaluation = evaluate_folders(found(folders)[0], None, 1)
    assert (evaluation.frames, evaluation.problems) == (["a", "b", "c"], [])


def test_sixteen_bit_images_are_refused_by_name(folders: Path) -> None:
    cv2.imwrite(str(folders / "thermal" / "a.png"), np.zeros((60, 80), np.uint16))
    evaluation = evaluate_folders(found(folders)[0], None, 1)
    assert evaluation.frames == ["b", "c"]
    assert "a.png: uint16 values; expected an 8-bit image" in evaluation.problems[0]


def test_small_images_are_refused_by_name(folders: Path) -> None:
    for kind in ("visible", "thermal", "other"):
        cv2.imwrite(str(folders / kind / "a.png"), np.zeros((40, 80), np.uint8))
    evaluation = evaluate_folders(found(folders)[0], None, 1)
    assert "a.png: fused image is 80x40; expected at least 41x41" in evaluation.problems[0]


def test_nothing_to_evaluate_is_an_error(folders: Path) -> None:
    for path in (folders / "thermal").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 3 frames can be .*a\.png: corrupt"):
        evaluate_folders(found(folders)[0], None, 1)


def test_broken_folders_are_one_sentence(folders: Path) -> None:
    visible, thermal, empty = folders / "visible", folders / "thermal", folders / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        find_frames(folders / "nowhere", thermal, {})
    with pytest.raises(ValueError, match="share no image name; expected pairs of the same file stem"):
        find_frames(visible, empty, {})
    with pytest.raises(ValueError, match="empty: no result for 3 of 3 frames, the first is 'a'"):
        find_frames(visible, thermal, {"X": empty})
    with pytest.raises(ValueError, match="--fused MAX=…: expected a name other than"):
        find_frames(visible, thermal, {"MAX": visible})


def test_trivial_fusions() -> None:
    visible, thermal = np.array([[0, 255, 3]], np.uint8), np.array([[1, 255, 4]], np.uint8)
    fusions = trivial_fusions(visible, thermal)
    assert fusions["AVG"].tolist() == [[0, 255, 4]]  # halves go to the even neighbour, as numpy rounds
    assert fusions["MAX"].tolist() == [[1, 255, 4]]
