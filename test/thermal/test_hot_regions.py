"""Hot regions: where they are, in each type of image, and that nothing else is listed."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.thermal.hot_regions import LEAST_SHARE, MOST, MOST_SHARE, hot_regions

SIZE = (480, 640)
DTYPES = [np.uint8, np.uint16, np.float32]


@cache
def scene(size=SIZE, low=29300, high=29700, noise=5.0):
    """A background that changes slowly, as counts of TLinear 0.01, with noise; not to be written to."""
    rng = np.random.default_rng(0)
    field = cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), size[0] / 12)
    counts = cv2.normalize(field, None, low, high, cv2.NORM_MINMAX) + rng.normal(0, noise, size)
    counts.flags.writeable = False
    return counts


def as_type(counts, dtype):
    return (counts / 10 - 2900).clip(0, 255).astype(np.uint8) if dtype == np.uint8 else counts.astype(dtype)


def with_hot(counts, *boxes, by=1200.0):
    counts = counts.copy()
    for x0, y0, x1, y1 in boxes:
        counts[y0:y1, x0:x1] += by
    return counts


def known(image):
    return np.full(image.shape, 255, np.uint8)


def regions_of(image, radiometry=None):
    return hot_regions(image, known(image), radiometry)


def overlap(a, b):
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(120, 160), (256, 320), SIZE, (512, 640), (720, 1280), (481, 643)])
def test_one_region_of_three_thousandths_of_the_image(dtype, size):
    side = round((0.003 * size[0] * size[1]) ** 0.5)
    box = (size[1] // 2, size[0] // 3, size[1] // 2 + side, size[0] // 3 + side)
    image = as_type(with_hot(scene(size=size), box), dtype)
    (found,) = regions_of(image)
    assert overlap(found, box) > 0.85
    assert regions_of(as_type(scene(size=size), dtype)) == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_regions_the_hotter_one_first(dtype):
    cooler, hotter = (60, 100, 90, 160), (400, 300, 440, 330)
    image = as_type(with_hot(with_hot(scene(), cooler, by=800), hotter, by=1300), dtype)
    first, second = regions_of(image)
    assert overlap(first, hotter) > 0.85
    assert overlap(second, cooler) > 0.85


@pytest.mark.parametrize("box", [(0, 0, 30, 30), (610, 450, 640, 480), (300, 0, 330, 30), (0, 200, 20, 250)])
def test_at_the_edge_of_the_image(box):
    (found,) = regions_of(with_hot(scene(), box).astype(np.uint16))
    assert overlap(found, box) > 0.85
    assert 0 <= found[0] < found[2] <= 640
    assert 0 <= found[1] < found[3] <= 480


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_lists_nothing(dtype):
    rng = np.random.default_rng(0)
    for _ in range(4):
        assert regions_of(as_type(rng.normal(30000, 100, SIZE), dtype)) == []
        rough = cv2.GaussianBlur(rng.normal(0, 1, SIZE).astype(np.float32), (0, 0), 6)  # a texture, not pixel by pixel
        assert regions_of(as_type(30000 + 100 * rough / rough.std(), dtype)) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_flat_and_saturated_images_list_nothing(dtype, value):
    image = np.full(SIZE, value, dtype)
    assert regions_of(image) == []
    image[::2] = np.iinfo(np.uint8).max  # lines
    assert regions_of(image) == []
    flicker = np.random.default_rng(0).integers(100, 102, SIZE)  # of the last bit
    assert regions_of(flicker.astype(dtype)) == []


def test_an_image_that_is_saturated_but_for_a_part_lists_nothing():
    image = scene().astype(np.uint16)
    image[:, 200:] = 65535
    assert regions_of(image) == []


@pytest.mark.parametrize(
    "hot", [np.s_[:, 320:], np.s_[240:, :], np.s_[:240, :320], np.s_[100:350, 150:450], np.s_[:, 280:360]]
)
def test_what_is_large_is_no_region_and_neither_are_its_corners(hot):
    counts = scene().copy()
    counts[hot] += 3000
    assert regions_of(counts.astype(np.uint16)) == []


def test_a_gradient_lists_nothing():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for slope in (rows, columns, rows + columns, np.hypot(rows - 479, columns - 320).max() - np.hypot(rows, columns)):
        assert regions_of((29000 + 5 * slope).astype(np.uint16)) == []


def test_a_large_fire_does_not_hide_what_is_small_beside_it():
    person = (100, 300, 125, 360)
    counts = with_hot(scene(), person)
    counts[50:300, 330:600] += 20000  # a fifth of the image
    (found,) = regions_of(counts.astype(np.uint16))
    assert overlap(found, person) > 0.85


def test_between_a_cold_sky_and_warm_ground():
    counts = scene().copy()
    counts[:260] -= 4000
    person = (300, 330, 325, 390)
    assert regions_of(counts.astype(np.uint16)) == []
    (found,) = regions_of(with_hot(counts, person).astype(np.uint16))
    assert overlap(found, person) > 0.85
    bird = (300, 100, 330, 140)  # not as warm as the ground
    assert regions_of(with_hot(counts, bird).astype(np.uint16)) == []


def test_sizes_from_the_least_to_the_largest():
    for share, listed in ((LEAST_SHARE / 3, 0), (2 * LEAST_SHARE, 1), (0.8 * MOST_SHARE, 1), (1.5 * MOST_SHARE, 0)):
        side = round((share * SIZE[0] * SIZE[1]) ** 0.5)
        assert len(regions_of(with_hot(scene(), (200, 150, 200 + side, 150 + side)).astype(np.uint16))) == listed, share


def test_kelvin_above_the_surroundings_where_the_radiometry_is_known():
    box = (300, 200, 330, 230)
    radiometry = Radiometry(0.01)
    for kelvin, listed in ((1.0, 0), (3.0, 1)):
        image = with_hot(scene(low=29490, high=29510, noise=1), box, by=100 * kelvin).astype(np.uint16)
        assert len(regions_of(image)) == 1, "without a radiometry it stands out from what is so even"
        assert len(regions_of(image, radiometry)) == listed
        degrees = (image * 0.01 - 273.15).astype(np.float32)
        assert len(regions_of(degrees, Radiometry(1.0, unit="celsius"))) == listed


@pytest.mark.parametrize("dtype", DTYPES)
def test_outside_the_mask_there_is_nothing(dtype):
    inside, outside = (200, 200, 230, 230), (20, 20, 50, 50)
    image = as_type(with_hot(scene(), inside, outside), dtype)
    mask = np.zeros(SIZE, np.uint8)
    mask[100:400, 120:560] = 255
    image[mask == 0] = np.nan if dtype == np.float32 else 0
    (found,) = hot_regions(image, mask)
    assert overlap(found, inside) > 0.85
    assert hot_regions(image, np.zeros(SIZE, np.uint8)) == []
    image[mask == 0] = 255 if dtype == np.uint8 else 40000
    (found,) = hot_regions(image, mask)  # whatever stands there
    assert overlap(found, inside) > 0.85


def test_pixels_that_are_not_finite():
    box = (200, 200, 230, 230)
    image = with_hot(scene(), box).astype(np.float32)
    image[::7, ::5] = np.nan
    image[300:320, 300:400] = np.inf
    (found,) = regions_of(image)
    assert overlap(found, box) > 0.8
    assert regions_of(np.full(SIZE, np.nan, np.float32)) == []


def test_there_are_never_more_than_some():
    boxes = [(40 * x + 5, 40 * y + 5, 40 * x + 25, 40 * y + 25) for x in range(16) for y in range(12)]
    assert 0 < len(regions_of(with_hot(scene(), *boxes[::4]).astype(np.uint16))) <= MOST


@pytest.mark.parametrize("size", [(1, 1), (1, 640), (7, 5), (33, 20), (3, 2000)])
def test_images_of_any_size(size):
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        image = rng.integers(0, 200, size).astype(dtype)
        image[0, 0] = 255
        for x0, y0, x1, y1 in regions_of(image):
            assert 0 <= x0 < x1 <= size[1]
            assert 0 <= y0 < y1 <= size[0]


def test_the_images_stay_as_they_are():
    image = with_hot(scene(), (200, 200, 230, 230)).astype(np.uint16)
    mask = known(image)
    copy = image.copy()
    image.flags.writeable = mask.flags.writeable = False
    assert len(hot_regions(image, mask)) == 1
    np.testing.assert_array_equal(image, copy)
