import numpy as np
import pytest

from vi_fusion_ros.thermal import Radiometry, ToneMapper, flat_field, without_dead_pixels

ALL_COUNTS = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("radiometry", [Radiometry(0.01), Radiometry(0.04), Radiometry(0.01, -273.15, "celsius"),
                                        Radiometry(0.0217, 120.0)])  # fmt: skip
def test_counts_to_kelvin_and_back_is_exact(radiometry):
    kelvin = radiometry.kelvin(ALL_COUNTS)
    assert kelvin.dtype == np.float32
    np.testing.assert_array_equal(radiometry.counts(kelvin), ALL_COUNTS)


def test_celsius_is_shifted_to_kelvin():
    assert Radiometry(0.1, -20, "celsius").kelvin(np.array([[200]], np.uint16))[0, 0] == pytest.approx(273.15)


def test_big_endian_counts_are_the_same():
    radiometry = Radiometry(0.01)
    np.testing.assert_array_equal(radiometry.kelvin(ALL_COUNTS.astype(">u2")), radiometry.kelvin(ALL_COUNTS))


def test_what_is_beyond_16_bit_is_clipped():
    kelvin = np.array([[-5, np.inf, -np.inf, 1e6, np.nan]], np.float32)
    np.testing.assert_array_equal(Radiometry(0.01).counts(kelvin), [[0, 65535, 0, 65535, 0]])


@pytest.mark.parametrize("wrong", [(0,), (-1,), (float("nan"),), (1, float("inf")), (1, 0, "fahrenheit")])
def test_wrong_radiometry_is_refused(wrong):
    with pytest.raises(ValueError, match=r"radiometry .*; expected"):
        Radiometry(*wrong)


@pytest.mark.parametrize("method", ["percentile", "plateau"])
def test_a_blank_scene_does_not_fill_the_picture_with_noise(method):
    noise = np.random.default_rng(0).normal(29500, 3, (120, 160)).astype(np.uint16)
    plain, calm = ToneMapper(method)(noise), ToneMapper(method, min_span=Radiometry(0.01).span(1))(noise)
    assert calm.std() < plain.std() / 3


def test_a_plateau_gives_rare_levels_more_room_than_a_stretch():
    random = np.random.default_rng(0)
    image = random.normal(20000, 30, (240, 320)).astype(np.uint16)
    image[:40] = random.normal(30000, 200, (40, 320)).astype(np.uint16)
    ranges = {m: int(np.ptp(ToneMapper(m)(image)[50:].astype(int))) for m in ("percentile", "plateau")}
    assert ranges["plateau"] > 3 * ranges["percentile"]
    order = np.argsort(image.ravel(), kind="stable")
    assert np.all(np.diff(ToneMapper("plateau")(image).ravel()[order].astype(int)) >= 0)


def test_a_negative_min_span():
    with pytest.raises(ValueError, match="min_span"):
        ToneMapper(min_span=-1)


def test_dead_pixels_take_their_neighbours_median():
    image = np.full((9, 9), 30000, np.uint16)
    image[4, 4] = 0
    dead = image == 0
    np.testing.assert_array_equal(without_dead_pixels(image, dead), np.full((9, 9), 30000))
    assert image[4, 4] == 0
    with pytest.raises(ValueError, match="does not fit"):
        without_dead_pixels(image, dead[:3])


def test_a_flat_field_takes_the_fixed_pattern_away():
    random = np.random.default_rng(0)
    pattern = random.normal(0, 20, (40, 50))
    frames = [(30000 + pattern + random.normal(0, 5, (40, 50))).astype(np.uint16) for _ in range(20)]
    corrected = frames[0] - flat_field(frames[1:])
    assert corrected.std() < frames[0].std() / 3
    with pytest.raises(ValueError, match="at least one frame"):
        flat_field([])
