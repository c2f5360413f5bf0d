"""Boards as people have them: faint, blurred, half of them cold, and in few of the views."""

import json
import re
from functools import partial

import cv2
import numpy as np
import pytest
import rig_renderer as world

from vi_fusion_ros.cli import main
from vi_fusion_ros.cli.calibrate.target import gathered, watched
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.estimate.boards import Board, Detection, detect, fault
from vi_fusion_ros.registration.estimate.coverage import Coverage
from vi_fusion_ros.registration.estimate.target import View

CHECKERS = Board("checkerboard", 9, 6, 0.04)
CIRCLES = Board("circles", 4, 9, 0.03)
CHARUCO = Board("charuco", 7, 5, 0.075, 0.055)
SIZES = (world.THERMAL_SIZE, world.VISIBLE_SIZE)


@pytest.fixture(scope="module")
def background():
    random = np.random.default_rng(0)
    blobs = cv2.resize(random.integers(0, 255, (12, 16), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    return world.scene(blobs, 255 - blobs)


def seen(board, background, number=0, noise=0.0):
    """A visible and a thermal image."""
    return world.board_view(board, list(world.poses(number + 1, 3))[number], background, number, noise)


def faint(image, contrast, blur_px=0.0):
    """An image with its contrast about the middle grey reduced, and the noise that it has then."""
    image = image.astype(np.float32)
    if blur_px:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    noise = np.random.default_rng(0).normal(0, 0.7, image.shape)
    return np.clip(128 + (image - 128) * contrast + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("board", [CHECKERS, CIRCLES], ids=["checkerboard", "circles"])
@pytest.mark.parametrize(
    ("contrast", "blur_px", "most_px"), [(0.06, 0.0, 0.5), (0.1, 2.0, 1.5)], ids=["faint", "faint and blurred"]
)
def test_faint_and_blurred_boards_are_found(board, background, contrast, blur_px, most_px):
    thermal = seen(board, background)[1]
    found, clear = detect(board, faint(thermal, contrast, blur_px)), detect(board, thermal)
    assert found is not None
    off = np.linalg.norm(found.points - clear.points, axis=1)
    turned = np.linalg.norm(found.points[::-1] - clear.points, axis=1)  # a checkerboard looks the same upside down
    assert min(off.mean(), turned.mean()) < most_px


def half_cold(board, thermal):
    """A board of which the right part is as warm as what is beside it."""
    image = thermal.copy()
    image[:, int(detect(board, thermal).points[:, 0].mean()) :] = 120
    return image


def blotched(image):
    """No board at all."""
    noise = np.random.default_rng(5).integers(0, 255, image.shape, np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 6)


@pytest.mark.parametrize(
    ("board", "spoilt", "sentence"),
    [
        (CHECKERS, np.zeros_like, "it is blank, 0 grey levels"),
        (CHECKERS, partial(half_cold, CHECKERS), "a grid of .* corners found, expected 9x6: part of it is hidden"),
        (
            CHECKERS,
            lambda image: cv2.GaussianBlur(image, (0, 0), 12),
            "no grid of 9x6 corners: it is not there",
        ),
        (CHECKERS, blotched, "no grid of 9x6 corners: it is not there"),  # chance makes grids of 4x3
        (CIRCLES, partial(half_cold, CIRCLES), r"no grid of 4x9 circles among \d+ spots"),
        (CHARUCO, lambda image: cv2.GaussianBlur(image, (0, 0), 6), "of 24 corners found, expected 6 or more"),
    ],
    ids=["blank", "half", "blurred", "none", "circles", "charuco"],
)
def test_why_no_board_is_found(board, background, spoilt, sentence):
    image = spoilt(seen(board, background)[1])
    assert detect(board, image) is None
    assert re.search(sentence, fault(board, image))


def view_of(pose, name=""):
    """What both cameras see of the checkerboard."""
    rotation, shift = pose
    placed = (CHECKERS.points_m - CHECKERS.points_m.mean(0)) @ rotation.T + shift
    carried = placed @ world.EXTRINSICS.rotation.T + world.EXTRINSICS.translation_m
    ids, zero = np.arange(len(placed)), np.zeros(3)
    thermal, visible = (
        Detection(ids, cv2.projectPoints(at, zero, zero, lens.matrix, lens.distortion)[0].reshape(-1, 2), False)
        for at, lens in ((placed, world.THERMAL), (carried, world.VISIBLE))
    )
    return View(name, thermal, visible)


def test_what_views_are_still_missing():
    coverage = Coverage(CHECKERS, SIZES)
    assert coverage.missing.startswith(
        "the board upper left, above, upper right and 6 more; it turned to a side and up"
    )
    for _ in range(4):
        view = view_of((np.eye(3), np.array([0, 0, 1.0])))
        coverage.add(view.thermal, view.visible)
    assert "in the middle" not in coverage.missing
    assert "it turned to a side and up or down; it nearer and further away" in coverage.missing
    for pose in world.poses(40):
        view = view_of(pose)
        coverage.add(view.thermal, view.visible)
    assert "turned" not in coverage.missing
    assert "nearer" not in coverage.missing
    assert coverage.views == 44


def test_live_views_are_told_with_what_to_show_next(capsys):
    class Sizes:
        sizes = {SIZES}  # noqa: RUF012 (as the command has them)

    views = [
        view_of((np.eye(3), np.array([0, 0, 1.0]))),
        View("1", None, None, "no board found in the thermal image: x"),
    ]
    assert list(watched(iter(views), CHECKERS, Sizes, True)) == views
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  both cameras see the board; 1 views so far; still to show: the board upper left")
    assert second.startswith("  no board found in the thermal image: x; 1 views so far; still to show: ")


def views_that_end_in(error, count):
    for pose in world.poses(count):
        yield view_of(pose)
    raise error


@pytest.mark.parametrize(
    ("error", "reason"), [(KeyboardInterrupt(), "interrupted"), (ValueError("no image on /t"), "no image on /t")]
)
def test_live_views_that_end_early_are_used(error, reason, capsys):
    assert len(gathered(views_that_end_in(error, 7))) == 7
    assert capsys.readouterr().err == f"{reason}; calibrating from the 7 views so far\n"
    with pytest.raises(type(error)):
        gathered(views_that_end_in(error, 5))


def test_ten_of_forty_views_are_enough(background, tmp_path, capsys):
    pairs = {}
    for number, pose in enumerate(world.poses(10)):
        pairs[f"{number:02d}"] = world.board_view(CHECKERS, pose, background, number)
    visible, thermal = pairs["00"]
    spoilt = [
        (visible, np.full_like(thermal, 90)),
        (visible, half_cold(CHECKERS, thermal)),
        (np.zeros_like(visible), thermal),
        (visible, cv2.GaussianBlur(thermal, (0, 0), 12)),
    ]
    for number in range(10, 40):
        pairs[f"{number:02d}"] = spoilt[0] if number < 31 else spoilt[number % 4]
    for name, images in pairs.items():
        for camera, image in zip(("visible", "thermal"), images, strict=True):
            (tmp_path / camera).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / camera / f"{name}.png"), image)
    call = ["calibrate", "target", "--visible", tmp_path / "visible", "--thermal", tmp_path / "thermal", "--board",
            "checkerboard", "--grid", "9x6", "--square", 0.04, "--plane-distance", world.PLANE_M, "--out",
            tmp_path / "rig.yaml", "--json", tmp_path / "r.json"]  # fmt: skip
    assert main([str(argument) for argument in call]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "10 of 40 views, transfer error" in said
    rejected = {view["name"]: view["rejected"] for view in json.loads((tmp_path / "r.json").read_text())["views"]}
    assert [name for name, why in rejected.items() if not why] == [f"{number:02d}" for number in range(10)]
    assert rejected["10"] == "no board found in the thermal image: it is blank, 0 grey levels from dark to bright"
    assert "no board found in the visible image: it is blank" in rejected["34"]
    assert world.transfer_error(Rig.load(tmp_path / "rig.yaml")) < 1
