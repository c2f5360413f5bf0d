import json

import cv2
import numpy as np
import pytest
import yaml

from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.lenses import bent, distorted, pixels, straightened
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
    np.testing.assert_allclose(
        np.stack(pixels(matrix, *distorted(Camera(matrix, coefficients), x, y)), -1), expected, atol=1e-9
    )


FISHEYE = Camera(np.array([[300.0, 0, 321], [0, 302, 238], [0, 0, 1]]), np.array([0.03, -0.01, 4e-3, -1e-3]), True)
"""Its 640x480 pixels see 60 degrees to the right and left."""


def fisheye_grid():
    """Pixels (n, 2) all over the image, the principal point among them."""
    grid = np.mgrid[0:640:16, 0:480:16].reshape(2, -1).T.astype(np.float64)
    return np.r_[grid, FISHEYE.matrix[None, :2, 2]]


def test_a_fisheye_is_that_of_opencv():
    grid, matrix = fisheye_grid(), FISHEYE.matrix
    straight = straightened(FISHEYE, grid)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    theirs = cv2.fisheye.undistortPoints(grid[:, None], matrix, FISHEYE.distortion, P=matrix, criteria=criteria)
    np.testing.assert_allclose(straight, theirs[:, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(bent(FISHEYE, straight), grid, atol=1e-6)
    rays = (straight - matrix[:2, 2]) / matrix[[0, 1], [0, 1]]
    back = cv2.fisheye.distortPoints(rays[:, None], matrix, FISHEYE.distortion)
    np.testing.assert_allclose(bent(FISHEYE, straight), back[:, 0], atol=1e-6)
    single = distorted(FISHEYE, *rays.T.astype(np.float32))
    assert single[0].dtype == single[1].dtype == np.float32
    np.testing.assert_allclose(np.stack(pixels(matrix, *single), -1), grid, atol=1e-3)


def test_what_no_ray_comes_to_stays_finite():
    folding = Camera(FISHEYE.matrix, np.array([-0.3, 0.0, 0, 0]), True)
    beyond = np.array([[-5000.0, 240], [321, 238], [9000, 9000]])
    for lens in (FISHEYE, folding):
        assert np.isfinite(straightened(lens, beyond)).all()
        np.testing.assert_allclose(straightened(lens, beyond)[1], [321, 238])


def test_a_fisheye_in_a_rig_file_and_in_the_warp(tmp_path):
    """Beside a pinhole lens at the same place the registered image is the one that OpenCV makes."""
    plain = Camera(np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]]), np.zeros(5))
    extrinsics = Extrinsics(np.eye(3), np.array([1e-6, 0, 0]))
    Rig(np.eye(3), (640, 480), (640, 480), "", FISHEYE, plain, extrinsics).at(10.0).save(tmp_path / "rig.yaml")
    rig = Rig.load(tmp_path / "rig.yaml")
    assert rig.thermal_camera.equidistant
    assert not rig.visible_camera.equidistant
    image = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (480, 640)).astype(np.float32), (0, 0), 4)
    expected = cv2.fisheye.undistortImage(image, FISHEYE.matrix, FISHEYE.distortion, Knew=plain.matrix)
    depth = np.full((480, 640), 3000, np.uint16)
    for registered, mask, _ in (
        Registration(rig).apply(image, (640, 480)),
        Registration(rig).apply_at_depth(image, depth, (640, 480)),
    ):
        assert mask.all()
        np.testing.assert_allclose(registered, expected, atol=1.5)  # both have maps of 1/32 pixel
    other_way = Rig(np.eye(3), (640, 480), (640, 480), "", plain, FISHEYE, extrinsics).at(10.0)
    xs = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    registered, mask, _ = Registration(other_way).apply(xs, (640, 480))
    grid = np.argwhere(mask > 0)[::500, ::-1].astype(np.float64)
    rays = (straightened(FISHEYE, grid) - FISHEYE.matrix[:2, 2]) / FISHEYE.matrix[[0, 1], [0, 1]]
    columns, rows = grid.astype(int).T
    np.testing.assert_allclose(registered[rows, columns], np.clip(rays[:, 0] * 400 + 320, 0, 639), atol=0.05)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "omni"}, "thermal_camera: model is 'omni'; expected equidistant"),
        ({"model": "equidistant", "distortion": [0.1] * 5}, r"distortion has the shape \(5,\)"),
    ],
)
def test_fisheyes_that_cannot_be(tmp_path, changes, sentence):
    lens = {"matrix": FISHEYE.matrix.tolist(), "distortion": [0.0] * 4, **changes}
    content = {"version": 1, "H_thermal_to_visible": np.eye(3).tolist(), "thermal_camera": lens}
    content |= {"thermal_size": [640, 480], "visible_size": [640, 480]}
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=sentence):
        Rig.load(tmp_path / "rig.yaml")
