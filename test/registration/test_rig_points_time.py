import json

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.planar import corner_error, transform
from vi_fusion_ros.registration.points import rig_from_points
from vi_fusion_ros.registration.rig import Camera, Extrinsics
from vi_fusion_ros.registration.timing import motion_energy, time_offset
from vi_fusion_ros.sources.clip import Video

SIZE = (640, 512)
LENS = Camera(np.array([[700.0, 0, 320], [0, 700, 256], [0, 0, 1]]), np.array([-0.2, 0.05, 0, 0, 0]))
BESIDE = Extrinsics(np.eye(3), np.array([0.1, 0, 0]))


def full_rig():
    bare = Rig(np.eye(3), SIZE, SIZE, "test", LENS, LENS, BESIDE, 10.0)
    return Rig(bare.homography_at(10), SIZE, SIZE, "test", LENS, LENS, BESIDE, 10.0, 12.5,
               {"scale": 0.01, "offset": 0.0, "unit": "kelvin"}, 0.4, {"method": "test"}, "a note")  # fmt: skip


def test_all_of_a_rig_comes_back(tmp_path):
    path = tmp_path / "new" / "rig.yaml"
    rig = full_rig()
    rig.save(path)
    back = Rig.load(path)
    for mine, other in ((rig.H_thermal_to_visible, back.H_thermal_to_visible),
                        (LENS.matrix, back.thermal_camera.matrix), (LENS.distortion, back.visible_camera.distortion),
                        (BESIDE.translation_m, back.extrinsics.translation_m)):  # fmt: skip
        np.testing.assert_array_equal(mine, other)
    for name in ("plane_distance_m", "time_offset_ms", "radiometry", "uncertainty_px", "made", "notes"):
        assert getattr(back, name) == getattr(rig, name)
    assert [file.name for file in path.parent.iterdir()] == ["rig.yaml"]


def test_parallax_is_focal_length_times_baseline_over_distance(tmp_path, capsys):
    rig = full_rig()
    assert corner_error(rig.homography_at(5), rig.homography_at(10), SIZE) == pytest.approx(
        700 * 0.1 * (1 / 5 - 1 / 10)
    )
    rig.save(tmp_path / "rig.yaml")
    assert main(["rig", "show", str(tmp_path / "rig.yaml")]) == 0
    assert "5 m:    7.00 px" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no intrinsics"):
        Rig.identity().homography_at(3)
    with pytest.raises(ValueError, match="more than 0"):
        rig.homography_at(0)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("thermal_camera", {"matrix": [[0] * 3] * 3, "distortion": [0] * 5}, "all zeros means uncalibrated"),
        ("thermal_camera", {"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "no usable distortion"),
        ("visible_camera", {"matrix": "no", "distortion": [0] * 5}, "no usable matrix"),
        ("extrinsics", {"rotation": [[2, 0, 0], [0, 1, 0], [0, 0, 1]], "translation_m": [0, 0, 0]}, "orthonormal"),
        ("extrinsics", [1], "no usable rotation"),
        ("plane_distance_m", 0, "above 0"),
        ("time_offset_ms", "late", "finite number"),
        ("radiometry", {"scale": 0}, "scale above 0"),
        ("radiometry", {"gain": 1}, "unknown key 'gain'"),
        ("made", 3, "keys and values"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, key, value, sentence):
    document = {
        "version": 1,
        "H_thermal_to_visible": "identity",
        "thermal_size": [640, 512],
        "visible_size": [640, 512],
    }
    (tmp_path / "rig.yaml").write_text(json.dumps({**document, key: value}))
    with pytest.raises(ValueError, match=sentence) as error:
        Rig.load(tmp_path / "rig.yaml")
    assert "rig.yaml" in str(error.value)


def test_nothing_is_written_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="singular"):
        Rig(np.zeros((3, 3)), SIZE, SIZE).save(tmp_path / "rig.yaml")
    assert not list(tmp_path.iterdir())


TRUE = np.array([[1.1, 0.02, 15], [-0.01, 1.08, 8], [3e-5, -2e-5, 1]])


def clicked(count=12, noise=0.5):
    random = np.random.default_rng(0)
    thermal = random.uniform((20, 20), (620, 490), (count, 2))
    return thermal, transform(TRUE, thermal) + random.normal(0, noise, (count, 2))


def test_points_give_the_homography_in_spite_of_a_wrong_click():
    thermal, visible = clicked(16, 0.2)
    visible[3] += 80
    rig, off = rig_from_points(thermal, visible, SIZE, SIZE)
    assert corner_error(rig.H_thermal_to_visible, TRUE, SIZE) < 0.5
    assert (rig.made["left_out"], int(off.argmax())) == (1, 3)


@pytest.mark.parametrize("wrong", ["few", "line", "same", "nan"])
def test_degenerate_points(wrong):
    thermal, visible = clicked()
    if wrong == "few":
        thermal, visible = thermal[:3], visible[:3]
    elif wrong == "line":
        thermal[:, 1] = 2 * thermal[:, 0] + 1
    elif wrong == "same":
        visible[:] = 5
    else:
        visible[0, 0] = np.nan
    with pytest.raises(ValueError, match="expected"):
        rig_from_points(thermal, visible, SIZE, SIZE)


def test_the_points_command(tmp_path, capsys):
    thermal, visible = clicked()
    (tmp_path / "p.json").write_text(json.dumps({"thermal": thermal.tolist(), "visible": visible.tolist()}))
    call = ["calibrate", "points", str(tmp_path / "p.json"), "--thermal-size", "640x512", "--visible-size", "640x512",
            "--out", str(tmp_path / "rig.yaml")]  # fmt: skip
    assert main(call) == 0
    assert Rig.load(tmp_path / "rig.yaml").made["points"] == 12
    assert main(call) == 2
    (tmp_path / "p.json").write_text("[]")
    assert main(call) == 2
    assert "has no points" in capsys.readouterr().err


def walker(count, rate, delay_s, inverted):
    random = np.random.default_rng(0)
    path = np.cumsum(random.normal(0, 4, (count * 3, 2)), 0) % 100
    for n in range(count):
        at = np.array([np.interp((n / rate - delay_s) * rate + 20, range(len(path)), path[:, k]) for k in (0, 1)])
        image = np.full((120, 160), 90, np.uint8)
        cv2.circle(image, tuple(int(v * 8) for v in at + 10), 9 * 8, 20 if inverted else 220, -1, cv2.LINE_AA, 3)
        yield image


@pytest.mark.parametrize("delay_ms", [-120, -50, 0, 40, 120])
def test_a_delay_is_found(delay_ms):
    visible = motion_energy(walker(200, 30, 0, False))
    thermal = motion_energy(walker(200, 30, delay_ms / 1000, True))
    assert time_offset(visible, thermal, 30).offset_ms == pytest.approx(-delay_ms, abs=10)


def test_no_delay_without_motion_or_with_too_few_frames():
    still = [np.full((120, 160), 90, np.uint8)] * 100
    with pytest.raises(ValueError, match="does not correlate"):
        time_offset(motion_energy(still), motion_energy(still), 30)
    with pytest.raises(ValueError, match="too few"):
        time_offset(motion_energy(still[:9]), motion_energy(still[:9]), 30)


@pytest.mark.data
def test_a_real_pair_of_videos_cut_by_some_frames(data_dir):
    clips = (Video(data_dir / "m3svd" / f"0117_1605_{camera}.mp4") for camera in ("visible", "thermal"))
    visible, thermal = map(motion_energy, clips)
    for frames in (-3, 0, 2, 3):
        pair = (visible[frames:], thermal) if frames >= 0 else (visible, thermal[-frames:])
        assert time_offset(*pair, 30).offset_ms == pytest.approx(-frames * 1000 / 30, abs=10)
