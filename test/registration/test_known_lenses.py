import argparse
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rig_renderer as world

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.writer import BagWriter
from vi_fusion_ros.cli import main
from vi_fusion_ros.cli.calibrate.lenses import known_lenses
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.estimate.boards import Board, Detection
from vi_fusion_ros.registration.estimate.target import View, calibrate
from vi_fusion_ros.registration.lens_file import load_lens
from vi_fusion_ros.registration.rig import Camera

CHECKERS = Board("checkerboard", 9, 6, 0.04)
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
FISHEYE = Camera(np.array([[210.0, 0, 203], [0, 212, 157], [0, 0, 1]]), np.array([-0.03, 0.004, -2e-3, 3e-4]), True)


def kind(name):
    return typestore().types[name]


def header(stamp_ns, frame_id="camera"):
    time = kind("builtin_interfaces/msg/Time")(stamp_ns // 10**9, stamp_ns % 10**9)
    return kind("std_msgs/msg/Header")(time, frame_id)


def info(lens, size, stamp_ns=10**9, binning=0, roi=(0, 0, 0, 0)):
    """A CameraInfo as a driver records it."""
    model = "equidistant" if lens.equidistant else "plumb_bob"
    region = kind("sensor_msgs/msg/RegionOfInterest")(roi[0], roi[1], roi[3], roi[2], False)
    k = lens.matrix.ravel()
    return kind(INFO)(header(stamp_ns, ""), size[1], size[0], model, lens.distortion, k, np.eye(3).ravel(),
                      np.c_[lens.matrix, np.zeros(3)].ravel(), binning, binning, region)  # fmt: skip


def picture(image, stamp_ns):
    h, w = image.shape
    return kind(IMAGE)(header(stamp_ns), h, w, "mono8", 0, w, image.ravel())


def bag_with(path, messages):
    """A bag of (topic, type, message), a second apart."""
    with BagWriter(path) as bag:
        for number, (topic, name, message) in enumerate(messages, 1):
            bag.write(topic, name, number * 10**9, message)
    return path


def chosen(bag, thermal=None, visible=None, thermal_topic="/thermal/image_raw"):
    args = argparse.Namespace(bag=bag, thermal_info=thermal, visible_info=visible, thermal_topic=thermal_topic,
                              visible_topic="/visible/image_rect/compressed")  # fmt: skip
    return known_lenses(args, world.THERMAL_SIZE, world.VISIBLE_SIZE)


def test_the_camera_info_of_a_bag(tmp_path):
    bag = bag_with(tmp_path / "b.mcap", [
        ("/thermal/camera_info", INFO, info(FISHEYE, (800, 640), binning=2)),
        ("/visible/camera_info", INFO, info(world.VISIBLE, world.VISIBLE_SIZE)),
    ])  # fmt: skip
    thermal, visible = chosen(bag, "bag", "bag")
    np.testing.assert_allclose(thermal.matrix, np.diag([0.5, 0.5, 1]) @ FISHEYE.matrix)
    assert thermal.equidistant
    assert not visible.distortion.any()  # of rectified images
    assert chosen(bag) == (None, None)


@pytest.mark.parametrize(
    ("message", "topic", "sentence"),
    [
        (
            info(world.THERMAL, (640, 512)),
            "/thermal/image_raw",
            "is for images of 640x512, these have 400x320",
        ),
        (info(Camera(np.zeros((3, 3)), np.zeros(5)), (400, 320)), "/thermal/image_raw", "K is all zeros"),
        (
            info(world.THERMAL, (400, 320)),
            "/other/image",
            "no CameraInfo on /other/camera_info; its",
        ),
    ],
    ids=["another resolution", "uncalibrated", "another topic"],
)
def test_camera_info_that_cannot_be_used(tmp_path, message, topic, sentence):
    bag = bag_with(tmp_path / "b.mcap", [("/thermal/camera_info", INFO, message)])
    with pytest.raises(ValueError, match=sentence):
        chosen(bag, "bag", None, topic)


def test_the_camera_info_of_no_bag():
    with pytest.raises(ValueError, match="--thermal-info bag is the CameraInfo of a bag, and there is none"):
        chosen(None, "bag")


def test_a_fisheye_file(tmp_path):
    path = tmp_path / "fisheye.yaml"
    path.write_text(
        "{image_width: 400, image_height: 320, distortion_model: equidistant, "
        "camera_matrix: {data: [210, 0, 203, 0, 212, 157, 0, 0, 1]}, "
        "distortion_coefficients: {data: [-0.03, 0.004, -0.002, 0.0003]}}"
    )
    lens = load_lens(path, (400, 320))
    assert lens.equidistant
    np.testing.assert_array_equal(lens.distortion, FISHEYE.distortion)


def fisheye_views(count, noise_px=0.1):
    """What a fisheye thermal camera and the visible one see of a board."""
    random = np.random.default_rng(1)
    ids, middle = np.arange(len(CHECKERS.points_m)), CHECKERS.points_m.mean(0)
    views = []
    for number, (rotation, shift) in enumerate(world.poses(count)):
        placed = (CHECKERS.points_m - middle) @ rotation.T + shift
        zero = np.zeros(3)
        thermal = cv2.fisheye.projectPoints(placed.reshape(-1, 1, 3), zero, zero, FISHEYE.matrix, FISHEYE.distortion)[0]
        carried = placed @ world.EXTRINSICS.rotation.T + world.EXTRINSICS.translation_m
        visible = cv2.projectPoints(carried, zero, zero, world.VISIBLE.matrix, world.VISIBLE.distortion)[0]
        thermal, visible = (
            Detection(ids, seen.reshape(-1, 2) + random.normal(0, noise_px, (len(ids), 2)), False)
            for seen in (thermal, visible)
        )
        views.append(View(str(number), thermal, visible))
    return views


def test_a_fisheye_lens_is_held_fixed():
    found = calibrate(fisheye_views(10), CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, 8.0, (FISHEYE, None))
    assert found.rig.thermal_camera is FISHEYE
    assert found.held_back_px.mean() < 0.5
    np.testing.assert_allclose(found.rig.extrinsics.translation_m, world.EXTRINSICS.translation_m, atol=0.004)
    assert found.rig.visible_camera.matrix[0, 0] == pytest.approx(620, rel=0.01)


def longer(lens, share):
    return replace(lens, matrix=lens.matrix @ np.diag([1 + share, 1 + share, 1]))


@pytest.mark.parametrize(("noise_px", "share"), [(0.03, 0.05), (0.1, 0.1), (0.3, -0.1)])
@pytest.mark.parametrize("camera", ["thermal", "visible"])
def test_a_lens_that_the_views_contradict(camera, noise_px, share):
    """A fisheye thermal lens, whose wrong focal length the poses make up for in part, and a plain visible one."""
    views = fisheye_views(10, noise_px)
    known = (longer(FISHEYE, share), None) if camera == "thermal" else (FISHEYE, longer(world.VISIBLE, share))
    with pytest.raises(ValueError, match=rf"contradict the given intrinsics of the {camera} camera: .*; F = \d+"):
        calibrate(views, CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, 8.0, known)


def test_factory_values_that_are_off_by_a_percent_are_held():
    known = longer(FISHEYE, 0.01), longer(world.VISIBLE, -0.01)
    found = calibrate(fisheye_views(10, 0.1), CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, 8.0, known)
    assert (found.rig.thermal_camera, found.rig.visible_camera) == known


def test_distortion_that_the_views_contradict():
    bent = replace(world.VISIBLE, distortion=world.VISIBLE.distortion + np.array([0.4, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="contradict the given intrinsics of the visible camera"):
        calibrate(fisheye_views(10), CHECKERS, world.THERMAL_SIZE, world.VISIBLE_SIZE, 8.0, (FISHEYE, bent))


def test_the_command_holds_the_camera_info_of_a_bag_fixed(tmp_path, capsys):
    background = world.scene(*(np.full((480, 640), level, np.uint8) for level in (90, 120)))
    messages = [("/thermal/camera_info", INFO, info(world.THERMAL, world.THERMAL_SIZE)),
                ("/visible/camera_info", INFO, info(world.VISIBLE, world.VISIBLE_SIZE))]  # fmt: skip
    for number, pose in enumerate(world.poses(7), 1):
        visible, thermal = world.board_view(CHECKERS, pose, background, number)
        for topic, image in (("/visible/image_raw", visible), ("/thermal/image_raw", thermal)):
            messages.append((topic, IMAGE, picture(image, number * 10**9)))
    bag = bag_with(tmp_path / "b.mcap", messages)
    call = ["calibrate", "target", "--bag", bag, "--visible-topic", "/visible/image_raw", "--thermal-topic",
            "/thermal/image_raw", "--board", "checkerboard", "--grid", "9x6", "--square", "0.04", "--plane-distance",
            world.PLANE_M, "--thermal-info", "bag", "--visible-info", "bag",
            "--out", tmp_path / "rig.yaml"]  # fmt: skip
    assert main([str(argument) for argument in call]) == 0, capsys.readouterr().err
    rig = Rig.load(tmp_path / "rig.yaml")
    np.testing.assert_allclose(rig.thermal_camera.matrix, world.THERMAL.matrix)
    np.testing.assert_allclose(rig.visible_camera.distortion, world.VISIBLE.distortion)
    assert world.transfer_error(rig) < 0.6
