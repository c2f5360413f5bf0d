import json

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.lenses import distorted, pixels
from vi_fusion_ros.registration.planar import corner_error
from vi_fusion_ros.registration.rig import Camera, Extrinsics

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


def test_the_same_rig_at_another_distance():
    moved = full_rig().at(3.0)
    middle = moved.H_thermal_to_visible @ (320, 256, 1)
    assert middle[0] / middle[2] - 320 == pytest.approx(700 * 0.1 / 3)
    assert moved.plane_distance_m == 3.0
    with pytest.raises(ValueError, match="no intrinsics and extrinsics"):
        Rig.identity().at(3.0)
    with pytest.raises(ValueError, match="expected more than 0"):
        moved.at(0.0)


@pytest.mark.parametrize("count", [4, 5, 8])
def test_distorted_pixels_are_those_of_opencv(count):
    random = np.random.default_rng(count)
    coefficients, matrix = random.normal(0, 0.05, count), np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
    x, y = random.uniform(-0.6, 0.6, (2, 50, 20))
    rays = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    expected = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), matrix, coefficients)[0].reshape(50, 20, 2)
    np.testing.assert_allclose(np.stack(pixels(matrix, *distorted(coefficients, x, y)), -1), expected, atol=1e-9)
