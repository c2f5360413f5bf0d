import numpy as np
import pytest

from vi_fusion_ros.thermal import ToneMapper


def ramp(low=28000, high=32000, dtype=np.uint16):
    return np.linspace(low, high, 64 * 80).reshape(64, 80).astype(dtype)


def test_8_bit_passes_untouched():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for mapper in (ToneMapper(), ToneMapper("range", (10, 20))):
        assert mapper(image) is image


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_percentiles_span_the_whole_range_and_keep_the_order(dtype):
    grey = ToneMapper()(ramp(dtype=dtype))
    assert grey.dtype == np.uint8
    assert grey.shape == (64, 80)
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.all(np.diff(grey.ravel().astype(int)) >= 0)
    assert int(grey[32, 0]) == pytest.approx(127, abs=2)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_fixed_range_is_linear_and_clips(dtype):
    image = np.array([[0, 1000, 1500, 2000, 60000]], dtype)
    grey = ToneMapper("range", (1000, 2000))(image).astype(int)
    np.testing.assert_allclose(grey, [[0, 0, 127.5, 255, 255]], atol=0.5)


def test_a_range_in_kelvin():
    image = np.array([[273.15, 293.15, 313.15]], np.float32)
    grey = ToneMapper("range", (273.15, 313.15))(image).astype(int)
    np.testing.assert_allclose(grey, [[0, 127.5, 255]], atol=0.5)


def test_a_range_of_all_counts():
    image = np.array([[0, 32768, 65535]], np.uint16)
    np.testing.assert_array_equal(ToneMapper("range", (0, 65535))(image), [[0, 128, 255]])


def test_levels_follow_slowly_and_reset_at_once():
    mapper = ToneMapper()
    first = mapper(ramp())
    hotter = ramp() + np.uint16(4000)
    jumped = mapper(hotter)
    assert jumped.mean() > 240  # the levels have hardly moved: no flicker
    for _ in range(100):
        settled = mapper(hotter)
    np.testing.assert_allclose(settled.astype(int), first, atol=1)
    mapper.reset()
    np.testing.assert_array_equal(mapper(ramp()), first)


def test_a_hot_spot_that_comes_and_goes_flickers_far_less_than_without_smoothing():
    random = np.random.default_rng(0)
    frames = [random.normal(30000, 200, (120, 160)).astype(np.uint16) for _ in range(30)]
    for frame in frames[1::2]:
        frame[:10, :12] = 45000
    smooth = ToneMapper()
    flicker = [np.abs(np.diff([mapped[60:].mean() for mapped in grey])).mean() for grey in (
        [smooth(frame) for frame in frames][20:], [ToneMapper()(frame) for frame in frames][20:]
    )]  # fmt: skip
    assert flicker[0] < flicker[1] / 4


def test_pixels_that_are_not_finite_take_no_part():
    clean = ramp(280, 320, np.float32)
    expected = ToneMapper()(clean)
    broken = clean.copy()
    broken[::7, ::5] = np.nan
    broken[3, 3], broken[3, 4] = np.inf, -np.inf
    grey = ToneMapper()(broken)
    finite = np.isfinite(broken)
    np.testing.assert_allclose(grey[finite].astype(int), expected[finite], atol=1)
    assert grey[0, 0] == 0
    assert (grey[3, 3], grey[3, 4]) == (255, 0)


def test_one_finite_pixel_between_the_samples_is_enough():
    image = np.full((600, 600), np.nan, np.float32)
    image[1, 1] = 300
    assert ToneMapper()(image).shape == (600, 600)


@pytest.mark.parametrize("value", [0, 30000, 65535])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_constant_image_is_black(value, dtype):
    assert not ToneMapper()(np.full((20, 20), value, dtype)).any()


def test_observing_one_image_and_rendering_another():
    mapper = ToneMapper()
    mapper.observe(ramp(1000, 2000))
    assert int(mapper.render(np.array([[1500]], np.uint16))[0, 0]) == pytest.approx(127, abs=2)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.full((4, 4), np.nan, np.float32), "without a finite pixel"),
        (np.full((4, 4), np.inf, np.float32), "without a finite pixel"),
        (np.zeros((4, 4), np.int32), "int32 cannot be tone mapped; expected one channel of uint8, uint16 or float32"),
        (np.zeros((4, 4), np.float64), "float64"),
        (np.zeros((4, 4), np.dtype(np.uint16).newbyteorder()), "cannot be tone mapped"),
        (np.zeros((4, 4, 3), np.uint16), r"shape \(4, 4, 3\)"),
        (np.zeros((0, 4), np.uint16), "without pixels"),
    ],
)
def test_images_that_cannot_be_mapped(image, sentence):
    with pytest.raises(ValueError, match=sentence):
        ToneMapper()(image)


def test_rendering_before_observing():
    with pytest.raises(ValueError, match="no levels yet"):
        ToneMapper().render(ramp())


@pytest.mark.parametrize(
    ("method", "value_range"),
    [
        ("linear", (0, 1)),
        ("range", (5, 5)),
        ("range", (6, 5)),
        ("range", (float("nan"), 5)),
        ("range", (0, float("inf"))),
    ],
)
def test_wrong_settings(method, value_range):
    with pytest.raises(ValueError, match=r"tone mapping .*; expected"):
        ToneMapper(method, value_range)


def test_read_only_input_is_not_written_to():
    image = ramp()
    image.flags.writeable = False
    before = image.copy()
    ToneMapper()(image)
    np.testing.assert_array_equal(image, before)
