import numpy as np
import pytest

from vi_fusion_ros.sources.synthetic import PERIOD_S, SyntheticScene

DAY_S, NIGHT_S = 3.0, 3.0 + PERIOD_S


@pytest.fixture(scope="module")
def scene():
    return SyntheticScene(640, 480, 5)


@pytest.mark.parametrize("time_s", [DAY_S, NIGHT_S])
def test_a_picture_is_a_function_of_seed_and_time(scene, time_s):
    again = SyntheticScene(640, 480, 5)
    again.visible(1.0)
    for paint in ("visible", "thermal", "thermal_8_bit"):
        np.testing.assert_array_equal(getattr(scene, paint)(time_s), getattr(again, paint)(time_s))


def test_shapes_and_depths(scene):
    assert (scene.visible(0.0).shape, scene.visible(0.0).dtype) == ((480, 640, 3), np.uint8)
    assert (scene.thermal(0.0).shape, scene.thermal(0.0).dtype) == ((480, 640), np.uint16)
    assert (scene.thermal_8_bit(0.0).shape, scene.thermal_8_bit(0.0).dtype) == ((480, 640), np.uint8)


def test_night_is_dark_to_the_visible_camera_alone(scene):
    assert scene.truth(DAY_S).illumination == "day"
    assert scene.truth(NIGHT_S).illumination == "night"
    assert scene.visible(NIGHT_S).mean() < 0.5 * scene.visible(DAY_S).mean()
    assert abs(float(scene.thermal(NIGHT_S).mean()) - float(scene.thermal(DAY_S).mean())) < 1500


@pytest.mark.parametrize("time_s", [DAY_S, NIGHT_S])
def test_persons_are_warm_inside_their_boxes(scene, time_s):
    counts = scene.thermal(time_s)
    persons = [item.box for item in scene.truth(time_s).objects if item.label == "person"]
    assert persons
    for x, y, width, height in persons:
        assert 0 <= x < x + width <= 640
        assert 0 <= y < y + height <= 480
        assert counts[y : y + height, x : x + width].max() > np.median(counts) + 500


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (1280, 720)])
def test_other_sizes(size):
    scene = SyntheticScene(*size, 0)
    assert scene.visible(DAY_S).shape == (size[1], size[0], 3)
    assert scene.thermal(DAY_S).shape == (size[1], size[0])
