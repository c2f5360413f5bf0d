import cv2
import numpy as np
import pytest
from matroska import write_mkv

from vi_fusion_ros.benchmarks import calibration, poses
from vi_fusion_ros.cli import main
from vi_fusion_ros.cli.benchmark.calibration import write_report


def registered(seed, scale=1.0):
    """Name, visible and thermal image of one scene; the thermal one too small by a scale about its centre."""
    random = np.random.default_rng(seed)
    images = [np.full((192, 256), level, np.uint8) for level in (90, 120)]
    for _ in range(60):
        x, y, w, h = (int(v) for v in random.integers(0, (256, 192, 50, 50)))
        for image in images:
            cv2.ellipse(image, (x, y), (w // 2 + 4, h // 2 + 4), 0, 0, 360, int(random.integers(30, 220)), -1)
    middle = (127.5, 95.5)
    matrix = cv2.getRotationMatrix2D(middle, 0, 1 / scale)
    thermal = cv2.warpAffine(images[1], matrix, (256, 192), borderMode=cv2.BORDER_REPLICATE)
    return str(seed), cv2.cvtColor(images[0], cv2.COLOR_GRAY2BGR), thermal


@pytest.mark.parametrize("scale", [1.0, 1.008])
def test_other_measures_find_the_scale(scale):
    found = calibration.preferred_scale([registered(seed, scale) for seed in range(6)])
    assert found["mutual_information"] == pytest.approx(scale, abs=0.002)
    assert found["gradients"] == pytest.approx(scale, abs=0.002)


def test_a_wrong_registration_as_given_is_told_from_the_rig_that_is_found():
    wrong = calibration.together([registered(seed, 1.01) for seed in range(3)])
    assert (wrong["pairs"], wrong["size"]) == (3, [256, 192])
    assert wrong["as_given_px"] == pytest.approx(1.6, abs=0.3)
    assert wrong["relative_px"] < 1 < wrong["off_px"]


def test_the_summary_and_the_report(tmp_path):
    rows = [
        {"frame": str(n), "start_px": 50.0, "end_px": float(n), "refused": n == 99, "cpu_s": 1.0, "wall_s": float(n),
         "given_bend_px": 4.0 * n}
        for n in range(100)
    ]  # fmt: skip
    summary = calibration.summary(rows)
    assert summary["median_end_px"] == 49.5
    assert (summary["median_cpu_s"], summary["median_wall_s"]) == (1, 49.5)
    assert (summary["refused"], summary["worse_than_start"]) == (1, 49)
    assert summary["given_bend_px_by_percentile"]["50"] == 198
    assert summary["end_follows_given_bend"] == pytest.approx(1)
    groups = [{"off_px": 1.25, "as_given_px": 0.5, "relative_px": 1.0, "uncertainty_px": 0.7, "model": "affine"}]
    scales = {"roadscene": {"mutual_information": 1.005, "gradients": 1.004}}
    times = {"still": {"refused": "nothing moves"},
             "clip": {"as_given_ms": 1.0, "uncertainty_ms": 2.0, "worst_error_ms": 3.5}}  # fmt: skip
    page = write_report(tmp_path, {
        "roadscene_alone": summary, "roadscene_together": groups, "m3svd_together": groups, "preferred_scale": scales,
        "time_offset": times, "pairs": rows,
        "any_stand": poses.summary([{"off_px": 0.5}, {"off_px": 3.0}, {"refused": "why"}], [{"refused": "why"}]),
    }).read_text()  # fmt: skip
    for expected in ("1.25 px", "1 right to 1 px", "1 refused", "nothing moves", "3.5 ms", "data:image/png"):
        assert expected in page


def test_the_bend_of_a_map_is_its_distance_from_a_similarity():
    similarity = np.array([[0.4, -0.01, 30], [0.01, 0.4, 5], [0, 0, 1]])
    assert calibration.bend(similarity, (1400, 900)) == pytest.approx(0, abs=1e-6)
    sheared = similarity @ np.array([[1, 0.01, 0], [0.01, 1, 0], [0, 0, 1]])
    assert calibration.bend(sheared, (900, 900)) == pytest.approx(0.004 * 899 / np.sqrt(2), rel=0.01)


def test_the_summary_has_the_support_that_chance_gave():
    refused = [
        {"refused": "too little structure (evidence 20.0, expected 28 or more); searched were shifts (support 1.9, "
         "expected 5.0 or more), and more"},
        {"refused": "(support outside of the two places with the most 0.8, expected 2.0 or more)"},
        {"refused": "blank"},
    ]  # fmt: skip
    assert poses.summary([], refused)["different_most_support"] == pytest.approx(0.4)
    assert poses.summary([], [])["different_most_support"] is None


def test_videos_tell_their_offset_as_a_whole_and_in_parts(tmp_path):
    """Boxes that jump, seen alike by both cameras."""
    random = np.random.default_rng(3)
    boxes = random.integers(0, (130, 90), (150, 3, 2))
    for camera, colour in (("visible", 220), ("thermal", 30)):
        images = []
        for frame in boxes:
            images.append(np.full((120, 160), 110, np.uint8))
            for x, y in frame:
                images[-1][y : y + 30, x : x + 30] = colour
        write_mkv(tmp_path / f"{camera}.mkv", np.arange(150) / 30, images)
    found = calibration.shifted_videos(tmp_path / "visible.mkv", tmp_path / "thermal.mkv")
    assert abs(found["as_given_ms"]) < 5
    assert found["worst_error_ms"] < 5
    assert sorted(found["parts"]) == ["even_tiles", "first_half", "odd_tiles", "second_half"]
    for part in found["parts"].values():
        assert abs(part["offset_ms"]) < 2 * part["uncertainty_ms"] + 5


def test_missing_data_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("VI_FUSION_DATA", raising=False)
    (tmp_path / "roadscene_dev.zip").write_bytes(b"no archive")
    for options, sentence in (([], "where are the images"), (["--data", str(tmp_path)], "cannot be used as RoadScene")):
        assert main(["benchmark", "calibration", *options]) == 2
        said = capsys.readouterr().err
        assert sentence in said


@pytest.mark.parametrize("stand", [poses.CASES[0], poses.Stand("zoomed and shifted", scale=1.4, shift=(0.1, -0.05))])
def test_a_rig_that_stands_so_is_found_as_it_stands(stand):
    row = poses.stood(stand, [registered(seed) for seed in range(2)])
    assert row["off_px"] < 1


def test_drawn_stands_are_all_over_the_range_and_always_the_same():
    stands = poses.drawn(40)
    assert stands == poses.drawn(40)
    assert {stand.mirrored for stand in stands} == {False, True}
    assert {round(stand.turn_deg / 90) % 4 for stand in stands} == {0, 1, 2, 3}
    assert min(stand.scale for stand in stands) < 0.4
    assert max(stand.scale for stand in stands) > 2.5
