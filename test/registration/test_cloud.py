from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rig_renderer import THERMAL_SIZE, VISIBLE, VISIBLE_SIZE, rays, true_rig

from vi_fusion_ros.images.point_clouds import coordinates
from vi_fusion_ros.registration import Registration, Rig
from vi_fusion_ros.registration.cloud import turned

PIXELS = VISIBLE_SIZE[::-1]


@pytest.fixture(scope="module")
def registration():
    """Of the rig; its maps are made once."""
    return Registration(true_rig())


def surface():
    """The distance of each visible pixel, (H, W): a wall behind a plate."""
    distance = np.full(PIXELS, 10.0)
    distance[150:330, 220:420] = 2.5
    return distance


def cloud(distance, step=1):
    """Its points, those of every step-th pixel each way, in no order."""
    points = (rays(VISIBLE, VISIBLE_SIZE) * distance[..., None])[::step, ::step].reshape(-1, 3)
    return np.random.default_rng(0).permutation(points).astype(np.float32)


def test_a_cloud_of_every_pixel_is_the_depth_image(registration):
    measured, filled = registration.distances(cloud(surface()), VISIBLE_SIZE)
    np.testing.assert_allclose(measured, surface(), atol=1e-4)
    np.testing.assert_array_equal(measured, filled)


def test_gaps_between_points_are_filled_and_what_is_far_from_any_is_not(registration):
    points = cloud(surface(), step=6)
    measured, filled = registration.distances(points[points[:, 0] < 0], VISIBLE_SIZE)
    assert (measured > 0).sum() == pytest.approx(640 * 480 / 36 / 2, rel=0.05)
    left, right = slice(0, 300), slice(340, None)
    assert (filled[:, left] > 0).all()
    assert not filled[:, right].any()
    assert np.isclose(filled[:, left], surface()[:, left], atol=1e-4).mean() > 0.97  # but for seams along the plate


def test_the_nearest_point_of_a_pixel_counts(registration):
    points = np.concatenate([cloud(surface(), 2), cloud(surface() * 3, 2), cloud(surface() * 2, 2)])
    measured, _ = registration.distances(points, VISIBLE_SIZE)
    np.testing.assert_allclose(measured[::2, ::2], surface()[::2, ::2], atol=1e-4)


def test_images_of_half_the_size(registration):
    half = VISIBLE_SIZE[0] // 2, VISIBLE_SIZE[1] // 2
    measured, _ = registration.distances(cloud(np.full(PIXELS, 4.0)), half)
    assert measured.shape == half[::-1]
    np.testing.assert_allclose(measured, 4.0, atol=1e-4)


def test_registered_as_by_the_depth_image(registration):
    ys, xs = np.mgrid[: THERMAL_SIZE[1], : THERMAL_SIZE[0]].astype(np.float32)
    wall = np.full(PIXELS, 3.0)
    depth = registration.distances(cloud(wall, step=4), VISIBLE_SIZE)[1]
    for axis in (xs, ys):
        by_cloud, mask, _ = registration.apply_at_depth(axis, depth, VISIBLE_SIZE)
        by_depth = registration.apply_at_depth(axis, wall.astype(np.float32), VISIBLE_SIZE)[0]
        np.testing.assert_allclose(by_cloud[mask > 0], by_depth[mask > 0], atol=0.01)


def test_clouds_that_cannot_be_used(registration):
    behind = cloud(surface(), 20) * -1
    for points in (behind, behind[:0], np.full((3, 3), 1e-30, np.float32)):
        with pytest.raises(ValueError, match=r"none of the \d+ points lies in the visible image"):
            registration.distances(points, VISIBLE_SIZE)
    with pytest.raises(ValueError, match="no intrinsics and extrinsics, which depth needs"):
        Registration(Rig.identity()).distances(behind, VISIBLE_SIZE)


def field(name, offset, datatype=7, count=1):
    return SimpleNamespace(name=name, offset=offset, datatype=datatype, count=count)


def message(kinds=("<f4", "<f4", "<f4"), pad=5, **changes):
    """As a driver sends it: other fields between, and bytes behind each point and row; and its points."""
    offsets, at = [], 4
    for kind in kinds:
        offsets.append(at)
        at += np.dtype(kind).itemsize
    layout = np.dtype({"names": ["x", "y", "z"], "formats": kinds, "offsets": offsets, "itemsize": at + pad})
    points = np.zeros((2, 3), layout)
    values = np.random.default_rng(1).normal(0, 5, (2, 3, 3))
    for number, axis in enumerate("xyz"):
        points[axis] = values[..., number]
    rows = [row.tobytes() + b"rest" for row in points]
    content = {
        "fields": [
            field("ring", 0, 4),
            *(field(a, o, 8 if "8" in kind else 7) for a, o, kind in zip("xyz", offsets, kinds, strict=True)),
        ],
        "is_bigendian": kinds[0][0] == ">",
        "height": 2,
        "width": 3,
        "point_step": layout.itemsize,
        "row_step": len(rows[0]),
        "data": b"".join(rows),
    }
    return SimpleNamespace(**{**content, **changes}), values.reshape(-1, 3)


@pytest.mark.parametrize("kinds", [("<f4",) * 3, (">f4",) * 3, ("<f8",) * 3], ids=["little", "big", "double"])
def test_points_of_messages(kinds):
    sent, values = message(kinds)
    found = coordinates(sent)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, rtol=1e-6)


def test_points_that_are_not_finite_are_left_out():
    sent, values = message()
    data = bytearray(sent.data)
    data[4:8] = np.float32(np.nan).tobytes()
    np.testing.assert_allclose(coordinates(SimpleNamespace(**{**vars(sent), "data": data})), values[1:], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fields": []}, r"no fields x, y and z of 32 or 64 bit floats; its fields: none"),
        ({"fields": [field("x", 0), field("y", 4)]}, "its fields: x, y"),
        ({"fields": [field(axis, 4, 5) for axis in "xyz"]}, "no fields x, y and z"),
        ({"fields": [field(axis, 90) for axis in "xyz"]}, "contradicts itself"),
        ({"point_step": 0}, "contradicts itself"),
        ({"width": 9}, "contradicts itself"),
        ({"data": b"short"}, "contradicts itself: 2 rows of .* 5 bytes of data"),
        ({"width": 0, "data": b"", "row_step": 0}, "no finite point"),
        ({"height": 0}, "no finite point"),
        ({"data": b"\xff" * 200}, "no finite point"),
    ],
)
def test_messages_that_hold_no_cloud(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        coordinates(message(**changes)[0])


def test_a_lens_that_folds_back_takes_no_point_from_beside_the_image(registration):
    folding = replace(true_rig(), visible_camera=replace(VISIBLE, distortion=np.array([-0.3, 0, 0, 0, 0])))
    beside = np.array([[4.0, 0, 1]], np.float32)  # by the polynomial far on the other side, or within
    with pytest.raises(ValueError, match="none of the 1 points"):
        Registration(folding).distances(beside, VISIBLE_SIZE)


@pytest.mark.parametrize("count", [0, 1, 500])
def test_points_are_turned_each_by_the_rotation(count):
    points = np.random.default_rng(3).normal(0, 20, (count, 4)).astype(np.float32)[:, :3]  # with gaps, as in a message
    rotation = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])
    found = turned(points, rotation)
    assert found.dtype == np.float32
    assert found.shape == (count, 3)
    np.testing.assert_allclose(found, np.array([rotation @ point for point in points]).reshape(-1, 3), atol=1e-5)
