import dataclasses
import json
import zipfile

import cv2
import numpy as np
import pytest
import rig_renderer as world
import yaml

from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.estimate.boards import Board, detect
from vi_fusion_ros.registration.estimate.target import View, calibrate, find
from vi_fusion_ros.registration.lens_file import load_lens

CHECKERS = Board("checkerboard", 9, 6, 0.04)
CIRCLES = Board("circles", 4, 9, 0.03)
CHARUCO = Board("charuco", 7, 5, 0.075, 0.055)


@pytest.fixture(scope="module")
def background(request):
    """What lies behind the board: a real registered pair where there is one, else shapes."""
    try:
        folder = request.getfixturevalue("data_dir")
    except pytest.skip.Exception:
        random = np.random.default_rng(0)
        blobs = cv2.resize(random.integers(0, 255, (12, 16), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        return world.scene(blobs, 255 - blobs)
    with zipfile.ZipFile(folder / "m3svd_stills.zip") as archive:
        name = sorted(n for n in archive.namelist() if n.startswith("visible/") and n.endswith(".jpg"))[40]
        pair = [archive.read(name), archive.read(name.replace("visible/", "thermal/", 1))]
    return world.scene(*(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) for data in pair))


def rendered(board, background, count):
    return [
        (f"{number:02d}", *world.board_view(board, pose, background, number))
        for number, pose in enumerate(world.poses(count))
    ]


@pytest.fixture(scope="module")
def images(background):
    return rendered(CHECKERS, background, 14)


@pytest.fixture(scope="module")
def views(images):
    return find(CHECKERS, images)


def solve(views, board=CHECKERS):
    return calibrate(views, board, world.THERMAL_SIZE, world.VISIBLE_SIZE, world.PLANE_M)


def test_a_checkerboard_recovers_the_rig(views):
    found = solve(views)
    assert world.transfer_error(found.rig) <= 0.5
    assert world.transfer_error(dataclasses.replace(found.rig, H_thermal_to_visible=found.rig.homography_at(3)),
                                world.true_rig(3)) <= 0.5  # fmt: skip
    assert found.rig.thermal_camera.matrix[0, 0] == pytest.approx(410, rel=0.01)
    assert found.rig.visible_camera.distortion[0] == pytest.approx(-0.12, abs=0.01)
    np.testing.assert_allclose(found.rig.extrinsics.translation_m, world.EXTRINSICS.translation_m, atol=0.004)
    assert found.held_back_px.mean() < 0.2
    assert 0 < found.rig.uncertainty_px < 1
    assert all(view.rejected == "" and view.thermal_px < 0.2 for view in found.views)


@pytest.mark.parametrize("board", [CIRCLES, CHARUCO], ids=["circles", "charuco"])
def test_other_boards_in_negative(board, background):
    views = find(board, rendered(board, background, 16))
    assert sum(view.thermal is not None and view.thermal.inverted for view in views) >= 8
    found = solve(views, board)
    assert world.transfer_error(found.rig) <= 0.5
    unseen = [view for view in found.views if view.thermal_px is None]
    assert all(view.rejected for view in unseen)


def test_a_bad_view_is_rejected_and_named(views):
    moved = dataclasses.replace(views[3].thermal, points=views[3].thermal.points + np.array([9, -4]))
    bad = [*views[:3], View("moved", moved, views[3].visible), *views[4:]]
    found = solve(bad)
    assert [view.name for view in found.views if view.rejected] == ["moved"]
    assert "the median is" in found.views[3].rejected
    assert world.transfer_error(found.rig) <= 0.5


def test_16_bit_and_faint_contrast(images):
    _, _, thermal = images[0]
    deep = 29000 + thermal.astype(np.uint16) * 2
    one, other = detect(CHECKERS, thermal), detect(CHECKERS, deep)
    assert np.abs(one.points - other.points).max() < 0.2


def test_too_few_views_blank_images_and_no_board(views, images):
    with pytest.raises(ValueError, match="4 views show the board to both cameras"):
        solve(views[:4])
    blank = [(str(number), np.zeros((480, 640), np.uint8), images[0][2]) for number in range(1)]
    with pytest.raises(ValueError, match="1 of 1 thermal and 0 visible images have it"):
        solve(find(CHECKERS, blank))
    with pytest.raises(ValueError, match=r"do not determine the focal length|expected 6 or more"):
        solve([dataclasses.replace(views[0], name=str(number)) for number in range(8)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("stripes", 9, 6, 0.1), "unknown"),
        (("checkerboard", 2, 6, 0.1), "too small"),
        (("checkerboard", 6, 6, 0.1), "90 degrees"),
        (("circles", 4, 9, 0.0), "more than 0"),
        (("charuco", 7, 5, 0.05, 0.06), "less than a square"),
        (("charuco", 7, 5, 0.05, 0.04, "DICT_NONE"), "unknown"),
    ],
)
def test_boards_that_cannot_be(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Board(*arguments)


def test_the_command(images, tmp_path, capsys):
    for name, visible, thermal in images[:8]:
        for camera, image in (("visible", visible), ("thermal", thermal)):
            (tmp_path / camera).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / camera / f"{name}.png"), image)
    call = ["calibrate", "target", "--visible", tmp_path / "visible", "--thermal", tmp_path / "thermal", "--board",
            "checkerboard", "--grid", "9x6", "--square", 0.04, "--plane-distance", world.PLANE_M, "--out",
            tmp_path / "rig.yaml", "--json", tmp_path / "r.json", "--pictures", tmp_path / "pictures",
            "--visible-info", written_info(tmp_path / "info.yaml", world.VISIBLE, world.VISIBLE_SIZE)]  # fmt: skip
    call = [str(argument) for argument in call]
    (tmp_path / "rig.yaml").write_text(
        "version: 1\nH_thermal_to_visible: [[1.6, 0, 0], [0, 1.5, 0], [0, 0, 1]]\nthermal_size: [400, 320]\n"
        "visible_size: [640, 480]\ntime_offset_ms: 12.5\nnotes: kept\n"
    )
    assert main(call) == 0
    assert "transfer error" in capsys.readouterr().out
    rig = Rig.load(tmp_path / "rig.yaml")
    assert world.transfer_error(rig) < 1
    np.testing.assert_array_equal(rig.visible_camera.matrix, world.VISIBLE.matrix)
    assert (rig.time_offset_ms, rig.notes, rig.made["views"]) == (12.5, "kept", 8)
    assert len(json.loads((tmp_path / "r.json").read_text())["views"]) == 8
    assert len(list((tmp_path / "pictures").iterdir())) >= 5
    before = (tmp_path / "rig.yaml").read_bytes()
    assert main(call) == 2
    assert "stays: its rig fits as well or better" in capsys.readouterr().err
    assert (tmp_path / "rig.yaml").read_bytes() == before


def written_info(path, camera, size, **changes):
    """A file as camera_calibration writes it."""
    content = {
        "image_width": size[0],
        "image_height": size[1],
        "camera_name": "camera",
        "camera_matrix": {"rows": 3, "cols": 3, "data": camera.matrix.ravel().tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": camera.distortion.tolist()},
        **changes,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("known", [(world.THERMAL, world.VISIBLE), (None, world.VISIBLE)], ids=["both", "visible"])
def test_known_lenses_stay_and_the_rest_is_found(views, known):
    found = calibrate(views[:8], CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, world.PLANE_M, known)
    assert found.rig.visible_camera is world.VISIBLE
    assert known[0] is None or found.rig.thermal_camera is world.THERMAL
    assert world.transfer_error(found.rig) < (0.3 if known[0] else 0.6)
    np.testing.assert_allclose(found.rig.extrinsics.translation_m, world.EXTRINSICS.translation_m, atol=0.004)


def test_a_rational_lens_is_held_fixed_with_all_its_coefficients(views):
    rational = dataclasses.replace(world.VISIBLE, distortion=np.append(world.VISIBLE.distortion, [0.0, 0, 0]))
    found = calibrate(views[:8], CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, world.PLANE_M, (None, rational))
    assert found.rig.visible_camera.distortion.shape == (8,)
    assert world.transfer_error(found.rig) < 0.6


def test_intrinsics_that_the_views_contradict(views):
    longer = dataclasses.replace(world.THERMAL, matrix=world.THERMAL.matrix @ np.diag([1.1, 1.1, 1]))
    with pytest.raises(ValueError, match=r"contradict the given intrinsics of the thermal camera.*\(given: 451 px\)"):
        calibrate(views, CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, world.PLANE_M, (longer, None))


def test_camera_info_files(tmp_path):
    path = written_info(tmp_path / "thermal.yaml", world.THERMAL, world.THERMAL_SIZE)
    lens = load_lens(path, world.THERMAL_SIZE)
    np.testing.assert_array_equal(lens.matrix, world.THERMAL.matrix)
    np.testing.assert_array_equal(lens.distortion, world.THERMAL.distortion)
    path.write_text("{width: 400, height: 320, distortion_model: plumb_bob, d: [], k: [9, 0, 4, 0, 9, 3, 0, 0, 1]}")
    assert not load_lens(path, (400, 320)).distortion.any()


def test_intrinsics_of_another_resolution_are_refused_before_boards_are_looked_for(tmp_path, capsys):
    for camera in ("visible", "thermal"):
        cv2.imwrite(str(tmp_path / f"{camera}.png"), np.full((96, 128), 90, np.uint8))
    info = written_info(tmp_path / "info.yaml", world.THERMAL, world.THERMAL_SIZE)
    images = [text for camera in ("visible", "thermal") for text in (f"--{camera}", str(tmp_path / f"{camera}.png"))]
    board = ["--board", "checkerboard", "--grid", "9x6", "--square", "0.04"]
    assert main(["calibrate", "target", *images, *board, "--thermal-info", str(info), "--out", "rig.yaml"]) == 2
    said = capsys.readouterr()
    assert "it is for images of 400x320, these have 128x96; give the intrinsics of this resolution" in said.err
    assert said.out == ""  # where boards were looked for it says how many there are


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_width": 640}, "for images of 640x320, these have 400x320; give the intrinsics of this resolution"),
        ({"distortion_model": "omnidirectional"}, "distortion_model is 'omnidirectional'; expected plumb_bob"),
        ({"distortion_model": "equidistant"}, "5 distortion coefficients; expected the 4 of equidistant"),
        ({"camera_matrix": {"data": [0] * 9}}, "no camera matrix"),
        ({"camera_matrix": {"data": [1, 2]}}, "has 2 numbers; expected 9"),
        ({"camera_matrix": "x"}, "camera_matrix is missing or has something"),
        ({"distortion_coefficients": {"data": [0.1]}}, "1 distortion coefficients"),
    ],
)
def test_camera_info_files_that_cannot_be_used(tmp_path, changes, sentence):
    path = written_info(tmp_path / "info.yaml", world.THERMAL, world.THERMAL_SIZE, **changes)
    with pytest.raises(ValueError, match=f"camera_info file {path}: .*{sentence}"):
        load_lens(path, world.THERMAL_SIZE)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="expected keys and values"):
        load_lens(path, world.THERMAL_SIZE)
