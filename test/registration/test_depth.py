from dataclasses import replace

import cv2
import numpy as np
import pytest
from rig_renderer import EXTRINSICS, PLANE_M, THERMAL, THERMAL_SIZE, VISIBLE, VISIBLE_SIZE, rays, true_rig

from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.lenses import bent

FOCAL_RATIO = VISIBLE.matrix[0, 0] / THERMAL.matrix[0, 0]  # visible pixels for each thermal one


@pytest.fixture(scope="module")
def registration():
    """Of the rig; its maps are made once."""
    return Registration(true_rig())


def plane(distance_m):
    """Depth of a plane that faces the visible camera, (H, W) float32."""
    return np.full(VISIBLE_SIZE[::-1], distance_m, np.float32)


def seen_at(depth):
    """The truth: thermal pixels (H, W, 2) of what each visible pixel shows at a depth."""
    points = (rays(VISIBLE, VISIBLE_SIZE) * depth[..., None] - EXTRINSICS.translation_m) @ EXTRINSICS.rotation
    flat = points.reshape(-1, 3)
    pixels = flat[:, :2] / flat[:, 2:] @ THERMAL.matrix[:2, :2].T + THERMAL.matrix[:2, 2]
    return bent(THERMAL, pixels).reshape(*depth.shape, 2)


def found_at(register):
    """The same as registered: images that hold their own coordinates show where each pixel was taken from."""
    ys, xs = np.mgrid[: THERMAL_SIZE[1], : THERMAL_SIZE[0]].astype(np.float32)
    return np.dstack([register(xs)[0], register(ys)[0]])


def error_px(register, depth):
    """The largest and the mean error, visible pixels, more than a pixel from the border of the thermal image."""
    truth = seen_at(depth)
    inner = ((truth > 1) & (truth < np.array(THERMAL_SIZE) - 2)).all(-1)
    off = np.linalg.norm(found_at(register) - truth, axis=-1)[inner] * FOCAL_RATIO
    assert inner.mean() > 0.5
    assert np.isfinite(off).mean() > 0.9
    return np.nanmax(off), np.nanmean(off)


@pytest.mark.parametrize("distance_m", [2.0, 5.0, 10.0, 50.0])
@pytest.mark.parametrize("wrong", [0.99, 1.0, 1.01])
def test_within_a_pixel_at_every_distance_where_depth_is_right_to_a_percent(registration, distance_m, wrong):
    depth = plane(distance_m)
    worst, _ = error_px(lambda image: registration.apply_at_depth(image, depth * wrong, VISIBLE_SIZE), depth)
    assert worst < (0.1 if wrong == 1 else 0.5)
    _, of_plane = error_px(lambda image: registration.apply(image, VISIBLE_SIZE), depth)
    assert of_plane > 1 or distance_m == 10


def test_millimetres_and_metres_are_the_same(registration):
    image = np.tile(np.arange(THERMAL_SIZE[0], dtype=np.uint16) * 100, (THERMAL_SIZE[1], 1))
    depth = (1500 + 4 * np.mgrid[: VISIBLE_SIZE[1], : VISIBLE_SIZE[0]].sum(0)).astype(np.uint16)
    one = registration.apply_at_depth(image, depth, VISIBLE_SIZE)
    other = registration.apply_at_depth(image, (depth / 1000).astype(np.float32), VISIBLE_SIZE)
    assert one[0].dtype == np.uint16
    np.testing.assert_allclose(one[0].astype(float), other[0], atol=4)  # maps of 1/32 pixel
    np.testing.assert_array_equal(one[1], other[1])
    assert one[2] == pytest.approx(np.count_nonzero(one[1]) / one[1].size)
    assert not one[0][one[1] == 0].any()


@pytest.mark.parametrize("nothing", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_where_depth_is_missing_it_is_the_plane(registration, nothing):
    depth = plane(3.0)
    depth[:200] = nothing
    image = np.random.default_rng(0).normal(20, 5, THERMAL_SIZE[::-1]).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    mixed, mask, _ = registration.apply_at_depth(image, depth, VISIBLE_SIZE)
    flat, flat_mask, _ = registration.apply(image, VISIBLE_SIZE)
    np.testing.assert_array_equal(mask[:200], flat_mask[:200])
    both = mask[:200] > 0
    np.testing.assert_allclose(mixed[:200][both], flat[:200][both], atol=0.05)  # maps of 1/32 pixel
    own, _, _ = registration.apply_at_depth(image, plane(3.0), VISIBLE_SIZE)
    np.testing.assert_array_equal(mixed[210:], own[210:])


def box_in_front(near_m=2.0, far_m=12.0):
    """Depth of a wall with a plate in front of it that both cameras see, and where the plate is."""
    depth, plate = plane(far_m), np.zeros(VISIBLE_SIZE[::-1], np.bool_)
    plate[180:300, 260:380] = True
    depth[plate] = near_m
    return depth, plate


def hidden_behind(plate, depth, near_m=2.0):
    """The truth: pixels whose point on the wall the plate hides from the thermal camera."""
    points = rays(VISIBLE, VISIBLE_SIZE) * depth[..., None]
    from_thermal = points - EXTRINSICS.translation_m  # in visible axes
    share = (near_m - EXTRINSICS.translation_m[2]) / from_thermal[..., 2]
    crossing = EXTRINSICS.translation_m + share[..., None] * from_thermal
    outline = cv2.findContours(plate.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0][0]
    pixels = bent(VISIBLE, (crossing / crossing[..., 2:]).reshape(-1, 3)[:, :2] @ VISIBLE.matrix[:2, :2].T
                  + VISIBLE.matrix[:2, 2])  # fmt: skip
    x0, y0, w, h = cv2.boundingRect(outline)
    x, y = pixels.reshape(*depth.shape, 2).transpose(2, 0, 1)
    return ~plate & (x > x0 - 0.5) & (x < x0 + w - 0.5) & (y > y0 - 0.5) & (y < y0 + h - 0.5)


def test_what_the_thermal_camera_does_not_see_is_masked(registration):
    depth, plate = box_in_front()
    hidden = hidden_behind(plate, depth)
    assert hidden.sum() > 1000
    _, mask, _ = registration.apply_at_depth(np.ones(THERMAL_SIZE[::-1], np.uint16), depth, VISIBLE_SIZE)
    core, around = (change(hidden.astype(np.uint8), np.ones((9, 9))) for change in (cv2.erode, cv2.dilate))
    assert not mask[core > 0].any()
    truth = seen_at(depth)
    inner = ((truth > 1) & (truth < np.array(THERMAL_SIZE) - 2)).all(-1)
    assert mask[inner & (around == 0)].all()
    assert (mask[hidden] == 0).mean() > 0.85
    assert (mask[plate] > 0).mean() > 0.95


def test_slopes_and_noise_hide_nothing(registration):
    ys = np.mgrid[: VISIBLE_SIZE[1], : VISIBLE_SIZE[0]][0]
    ground = np.where(ys > 260, 620 * 1.2 / np.maximum(ys - 250, 1), 74.4).astype(np.float32)
    noisy = plane(6.0) * np.random.default_rng(0).normal(1, 0.01, VISIBLE_SIZE[::-1]).astype(np.float32)
    specks = plane(10.0)
    specks[::40, ::40] = 0.8
    for depth in (ground, noisy, specks):
        truth = seen_at(depth)
        inner = ((truth > 1) & (truth < np.array(THERMAL_SIZE) - 2)).all(-1)
        mask = registration.apply_at_depth(np.ones(THERMAL_SIZE[::-1], np.uint16), depth, VISIBLE_SIZE)[1]
        assert (mask[inner] > 0).mean() > 0.99


def test_images_of_other_sizes_than_the_calibration(registration):
    small = (THERMAL_SIZE[0] // 2, THERMAL_SIZE[1] // 2), (VISIBLE_SIZE[0] // 2, VISIBLE_SIZE[1] // 2)
    full = seen_at(plane(3.0))
    xs = np.tile(np.arange(small[0][0], dtype=np.float32), (small[0][1], 1))
    got, mask, _ = registration.apply_at_depth(xs, np.full(small[1][::-1], 3000, np.uint16), small[1])
    of_blocks = full[..., 0].reshape(small[1][1], 2, small[1][0], 2).mean((1, 3))
    expected = (of_blocks + 0.5) / 2 - 0.5
    inner = (mask > 0) & (expected > 1) & (expected < small[0][0] - 2)
    np.testing.assert_allclose(got[inner], expected[inner], atol=0.05)


def test_a_correction_of_the_drift_monitor_applies_at_every_distance():
    shift = np.array([[1, 0, 6.0], [0, 1, -3], [0, 0, 1]])
    rig = true_rig()
    straight = replace(rig, visible_camera=replace(VISIBLE, distortion=np.zeros(5)))
    image = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 99, THERMAL_SIZE[::-1]).astype(np.float32), (0, 0), 3)
    before, _, _ = Registration(straight).apply_at_depth(image, plane(PLANE_M / 2), VISIBLE_SIZE)
    moved = replace(straight, H_thermal_to_visible=shift @ rig.H_thermal_to_visible)
    after, _, _ = Registration(moved).apply_at_depth(image, plane(PLANE_M / 2), VISIBLE_SIZE)
    np.testing.assert_allclose(after[50:-50, 60:-50], before[53:-47, 54:-56], atol=0.05)


@pytest.mark.parametrize(
    ("depth", "sentence"),
    [
        (np.ones((240, 320), np.float32), "320x240 pixels; expected 640x480, registered to the visible image"),
        (np.zeros((480, 640), np.uint16), "no distance above 0 anywhere"),
        (np.full((480, 640), np.nan, np.float32), "no distance above 0 anywhere"),
        (np.ones((480, 640), np.uint8), "uint8 with 1 channels; expected 16UC1"),
        (np.ones((480, 640, 3), np.uint8), "3 channels; expected 16UC1"),
    ],
)
def test_depth_that_cannot_be_used(registration, depth, sentence):
    with pytest.raises(ValueError, match=sentence):
        registration.apply_at_depth(np.ones(THERMAL_SIZE[::-1], np.uint16), depth, VISIBLE_SIZE)


def test_a_rig_without_lenses_has_no_use_for_depth():
    for rig in (Rig.identity(), Rig(np.eye(3), THERMAL_SIZE, VISIBLE_SIZE, "flat.yaml")):
        with pytest.raises(ValueError, match=r"rig .* has no intrinsics and extrinsics, which depth needs"):
            Registration(rig).apply_at_depth(np.ones(THERMAL_SIZE[::-1], np.uint16), plane(2.0), VISIBLE_SIZE)


def test_blocks_of_rows_make_no_difference(registration, monkeypatch):
    depth = plane(3.0)
    depth[100:200, 200:400] = 1.5
    depth[300:310] = 0
    image = np.random.default_rng(0).normal(20, 5, THERMAL_SIZE[::-1]).astype(np.float32)
    as_it_is = registration.apply_at_depth(image, depth, VISIBLE_SIZE)
    monkeypatch.setattr("vi_fusion_ros.registration.depth._BLOCK_PIXELS", 1)
    by_row = registration.apply_at_depth(image, depth, VISIBLE_SIZE)
    np.testing.assert_array_equal(by_row[0], as_it_is[0])
    np.testing.assert_array_equal(by_row[1], as_it_is[1])
