"""The operator's picture: the palette says what is hotter, the legend is true, and overlay modes show both cameras."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vi_fusion_ros import drawing
from vi_fusion_ros.overlay_modes import OVERLAY_MODES, overlay_in
from vi_fusion_ros.thermal import Radiometry, ToneMapper
from vi_fusion_ros.thermal_color import PALETTES, colored, palette, scale_labels, thermal_color
from vi_fusion_ros.types import Frame, FramePair, FusionResult, LabelScore

SHAPE = (240, 320)
LEVELS = (29000.0, 31000.0)


def result(*, visible=True, thermal=True, dtype=np.uint16):
    ramp = np.tile(np.linspace(*LEVELS, SHAPE[1]), (SHAPE[0], 1)).astype(dtype)
    stripes = np.tile(np.repeat([60, 180], 16).astype(np.uint8), (SHAPE[0], SHAPE[1] // 32))
    pair = FramePair(
        Frame(cv2.merge([stripes] * 3)) if visible else None,
        Frame(ramp) if thermal else None,
    )
    return FusionResult(
        pair=pair,
        fused=np.full((*SHAPE, 3), 90, np.uint8),
        attention=np.full(SHAPE, 0.5, np.float32),
        thermal_registered=ramp if thermal else None,
        mask=np.full(SHAPE, 255, np.uint8) if thermal else None,
        overlap=1.0,
        scores=(LabelScore("person", 0.9, True),),
        illumination="night",
        illumination_probability=0.75,
        thermal_levels=LEVELS if thermal else None,
    )


def luma(image):
    return image @ np.array([0.114, 0.587, 0.299])


def test_hotter_is_brighter_in_white_hot_and_ironbow_and_darker_in_black_hot():
    for name in PALETTES:
        steps = np.diff(luma(palette(name)[:, 0].astype(float)))
        assert np.all(steps <= 0 if name == "black_hot" else steps >= -0.5), name
    assert palette("ironbow")[0].max() == 0
    assert palette("ironbow")[255].min() == 255


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_the_picture_is_linear_in_the_counts(dtype):
    picture = colored(result(dtype=dtype), "white_hot")
    expected = np.linspace(0, 255, SHAPE[1])
    np.testing.assert_allclose(picture[0, :, 0].astype(float), expected, atol=1)
    np.testing.assert_array_equal(255 - picture, colored(result(dtype=dtype), "black_hot"))


def test_where_there_is_no_data_is_a_colour_that_no_palette_has():
    given = result(dtype=np.float32)
    given.mask[:, :40] = 0
    given.thermal_registered[0, 100] = np.nan
    for name in PALETTES:
        picture = colored(given, name)
        empty = picture[5, 5]
        assert (picture[:, :40] == empty).all()
        assert (picture[0, 100] == empty).all()
        assert not (palette(name)[:, 0] == empty).all(axis=1).any()


def test_the_legend_says_celsius_where_the_scale_is_known_and_counts_elsewhere():
    assert scale_labels((27315.0, 31315.0), Radiometry(0.01)) == (["40.0", "20.0", "0.0"], "C")
    assert scale_labels((100.0, 400.0), Radiometry(0.1, -20.0, "celsius")) == (["20.0", "5.0", "-10.0"], "C")
    assert scale_labels((100.0, 400.0), None) == (["400", "250", "100"], "counts")
    assert scale_labels((1.0, 2.0), None) == (["2.0", "1.5", "1.0"], "counts")


def test_the_legend_has_the_colours_of_the_palette_from_hot_above_to_cold_below():
    for name in PALETTES:
        given = result()
        given = replace(given, thermal_registered=np.full(SHAPE, 30000, np.uint16))
        picture = thermal_color(given, name, Radiometry(0.01))
        bar = picture[SHAPE[0] // 2 - 60 : SHAPE[0] * 7 // 8 - 2, -7].astype(int)
        distances = np.abs(bar[:, None] - palette(name)[None, :, 0].astype(int)).sum(axis=2)
        assert distances.min(axis=1).max() == 0, name
        levels = distances.argmin(axis=1)
        assert np.all(np.diff(levels) <= 0), name
        assert (picture[:, : SHAPE[1] // 2] == colored(given, name)[:, : SHAPE[1] // 2]).all()


def test_a_small_or_narrow_image_has_no_legend():
    given = replace(result(), thermal_registered=np.full((40, 60), 30000, np.uint16), mask=None)
    assert (thermal_color(given, "ironbow", None) == colored(given, "ironbow")).all()


def test_levels_are_those_that_tone_mapping_works_between():
    mapper = ToneMapper("range", (100, 200))
    assert mapper.levels(np.zeros((2, 2), np.uint16)) == (100, 200)
    assert mapper.levels(np.zeros((2, 2), np.uint8)) == (0, 255)
    mapper = ToneMapper()
    with pytest.raises(ValueError, match="no levels yet"):
        mapper.levels(np.zeros((2, 2), np.uint16))
    image = np.arange(10000, 20000, dtype=np.uint16).reshape(100, 100)
    mapper(image)
    low, high = mapper.levels(image)
    assert 10000 <= low < 10200
    assert 19800 < high < 20000


def test_edges_show_the_visible_structure_on_the_thermal_image():
    given = result()
    picture = overlay_in("edges", given, "white_hot", None).astype(int)
    added = picture[..., 0] - colored(given, "white_hot")[..., 0].astype(int)
    row = added[100]
    assert row[144] > 40 > -40 > row[143]  # a step of the stripes up: bright on one side, dark on the other
    flat = replace(given, pair=FramePair(Frame(np.full((*SHAPE, 3), 90, np.uint8)), given.pair.thermal))
    np.testing.assert_array_equal(overlay_in("edges", flat, "ironbow", None), colored(flat, "ironbow"))


def test_the_inset_is_the_thermal_image_in_the_corner_and_the_rest_is_the_overlay():
    given = result()
    picture, plain = overlay_in("inset", given, "ironbow", Radiometry(0.01)), drawing.overlay(given)
    np.testing.assert_array_equal(picture[SHAPE[0] // 3 + 1 :], plain[SHAPE[0] // 3 + 1 :])
    small = cv2.resize(colored(given, "ironbow"), (SHAPE[1] // 3, SHAPE[0] // 3), interpolation=cv2.INTER_AREA)
    corner = picture[1 : SHAPE[0] // 3, -(SHAPE[1] // 3) + 1 :][:, :20]
    np.testing.assert_array_equal(corner, small[1:, 1:21])


def test_labels_is_the_overlay_and_so_is_every_mode_with_a_camera_missing():
    given = result()
    np.testing.assert_array_equal(overlay_in("labels", given, "ironbow", None), drawing.overlay(given))
    for alone in (result(thermal=False), result(visible=False)):
        for mode in OVERLAY_MODES:
            np.testing.assert_array_equal(overlay_in(mode, alone, "ironbow", None), drawing.overlay(alone))


def test_what_is_not_known_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="overlay mode 'both' is unknown; expected labels, edges, inset"):
        overlay_in("both", result(), "ironbow", None)
    with pytest.raises(ValueError, match="palette 'rainbow' is unknown; expected white_hot, black_hot, ironbow"):
        palette("rainbow")
    with pytest.raises(ValueError, match="without a thermal image"):
        colored(result(thermal=False), "ironbow")
