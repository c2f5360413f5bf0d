"""Local tone mapping: what is faint beside something hot is seen, order and noise are kept, and nothing flickers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vi_fusion_ros.thermal import ToneMapper

SIZE = (240, 320)


def scene(dtype=np.uint16):
    """A cold half with faint stripes of 60 counts and a hot half 4000 counts above, with stripes as faint."""
    image = np.full(SIZE, 28000.0)
    image[:, SIZE[1] // 2 :] += 4000
    image += 60 * (np.arange(SIZE[1]) // 8 % 2)
    return image.astype(dtype)


def contrast(grey, columns):
    return float(np.ptp(grey[120, columns].astype(float)))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_faint_structure_has_more_contrast_and_hot_stays_brighter_than_cold(dtype):
    image = scene(dtype)
    local, plain = ToneMapper("local")(image), ToneMapper()(image)
    assert local.dtype == np.uint8
    assert local.shape == SIZE
    cold = slice(0, 48)
    assert contrast(local, cold) > 1.5 * contrast(plain, cold)
    assert local[120, 250:].min() > local[120, :70].max()


def test_no_part_is_stretched_more_than_its_limit_so_that_a_plain_sky_stays_plain():
    rng = np.random.default_rng(0)
    image = scene().astype(float)
    image[:, : SIZE[1] // 2] = 28000 + rng.normal(0, 5, (SIZE[0], SIZE[1] // 2))
    image = image.astype(np.uint16)
    sky = np.s_[40:200, 8:60]
    assert ToneMapper("local")(image)[sky].std() <= 2.5 * ToneMapper()(image)[sky].std() + 0.5
    assert ToneMapper("local")(image)[sky].std() < ToneMapper("plateau")(image)[sky].std()


def test_something_very_hot_draws_no_dark_halo():
    image = np.full(SIZE, 28000, np.uint16) + np.random.default_rng(0).integers(0, 400, SIZE).astype(np.uint16)
    plain = ToneMapper("local")(image)
    image[110:122, 150:162] = 60000
    with_spot = ToneMapper("local")(image)
    ring = np.s_[90:105, 130:180]
    assert abs(float(with_spot[ring].mean()) - float(plain[ring].mean())) < 12
    assert (with_spot[110:122, 150:162] == 255).all()


def test_it_follows_the_scene_slowly_and_forgets_it_at_once():
    mapper, other = ToneMapper("local"), scene()[:, ::-1].copy()
    first = mapper(scene())
    jumped = mapper(other)
    for _ in range(150):
        settled = mapper(other)
    fresh = ToneMapper("local")(other)
    assert np.abs(jumped.astype(int) - fresh).mean() > 3 * np.abs(settled.astype(int) - fresh).mean()
    np.testing.assert_allclose(settled.astype(int), fresh, atol=1)
    mapper.reset()
    np.testing.assert_array_equal(mapper(scene()), first)


def test_noise_does_not_make_a_still_scene_flicker():
    rng = np.random.default_rng(0)
    frames = [(scene() + rng.normal(0, 20, SIZE)).astype(np.uint16) for _ in range(30)]
    smooth = ToneMapper("local")
    smoothed = [cv2.blur(smooth(frame), (25, 25)).astype(float) for frame in frames][20:]
    alone = [cv2.blur(ToneMapper("local")(frame), (25, 25)).astype(float) for frame in frames][20:]
    changes = [np.abs(np.diff(grey, axis=0)).mean() for grey in (smoothed, alone)]
    assert changes[0] < changes[1]
    assert changes[0] < 0.5


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_where_there_is_no_data_takes_no_part(dtype):
    image = scene(dtype)
    whole = ToneMapper("local")
    whole.observe(image)
    expected = whole.render(image)
    warped = image.copy()
    warped[:, :30] = 0 if dtype is np.uint16 else np.nan
    mapper = ToneMapper("local")
    mapper.observe(image)  # as the pipeline does: the whole scene, before it is warped
    grey = mapper.render(warped)
    assert not grey[:, :30].any()
    assert np.abs(grey[:, 60:].astype(int) - expected[:, 60:]).max() <= 8


def test_an_image_of_nothing_and_a_constant_one_are_mapped():
    mapper = ToneMapper("local")
    assert mapper(np.full(SIZE, 30000, np.uint16)).shape == SIZE
    assert not mapper.render(np.zeros(SIZE, np.uint16)).any()
    assert mapper(np.full((3, 5), 30000, np.uint16)).shape == (3, 5)


def test_a_blank_scene_of_known_scale_is_not_stretched_to_noise():
    image = (30000 + np.random.default_rng(0).normal(0, 3, SIZE)).astype(np.uint16)
    assert ToneMapper("local", min_span=100)(image).std() < 15
    assert ToneMapper("local")(image).std() > 30


def test_read_only_input_is_not_written_to():
    image = scene(np.float32)
    image.flags.writeable = False
    ToneMapper("local")(image)
