"""Pictures for people: what is drawn is where it belongs, and the images it is drawn from stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from vi_fusion_ros import drawing
from vi_fusion_ros.types import Frame, FramePair, FusionResult, LabelScore


def result(*, visible=True, thermal=True, attention=0.25):
    shape = (120, 160)
    fused = np.full((*shape, 3), 90, np.uint8)
    pair = FramePair(
        Frame(np.full((*shape, 3), 60, np.uint8), 1) if visible else None,
        Frame(np.linspace(29000, 31000, 120 * 160).astype(np.uint16).reshape(shape), 1) if thermal else None,
    )
    return FusionResult(
        pair=pair,
        fused=fused,
        attention=np.full(shape, attention, np.float32),
        thermal_registered=pair.thermal.image if pair.thermal else None,
        mask=None,
        overlap=1.0,
        scores=(LabelScore("person", 0.9, True), LabelScore("car", 0.1, False)),
        illumination="night",
        illumination_probability=0.75,
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_images_are_stretched_over_their_range_without_nan(dtype):
    image = np.linspace(1000, 2000, 100).astype(dtype).reshape(10, 10)
    if dtype is np.float32:
        image[0, 0] = np.nan
    grey = drawing.grey8(image)
    assert grey.shape == (10, 10, 3)
    assert grey.dtype == np.uint8
    assert grey[0, 1].max() < 10
    assert (grey[-1, -1] == 255).all()


def test_an_image_of_nothing_is_black():
    assert not drawing.grey8(np.full((4, 4), np.nan, np.float32)).any()


def test_attention_is_the_thermal_share():
    assert (drawing.attention_grey(result(attention=1.0)) == 255).all()
    assert (drawing.attention_grey(result(attention=0.0)) == 0).all()
    blue, _, red = drawing.attention_color(result(attention=0.0))[0, 0]
    assert blue > red
    blue, _, red = drawing.attention_color(result(attention=1.0))[0, 0]
    assert red > blue


def test_labels_are_written_lower_left_and_present_ones_are_green():
    shown = result()
    image = drawing.overlay(shown).astype(int)
    assert (shown.fused == 90).all()
    changed = np.argwhere((image != 90).any(axis=2))
    assert changed[:, 0].min() > 40
    assert changed[:, 1].max() < 159
    green = (image[..., 1] > image[..., 0] + 60) & (image[..., 1] > image[..., 2] + 60)
    assert green.any()
    assert np.argwhere(green)[:, 0].max() < changed[:, 0].max() - 10, "only the first line is of a present label"


@pytest.mark.parametrize(("visible", "thermal", "black"), [(True, True, ()), (True, False, (1,)), (False, True, (0,))])
def test_a_mosaic_row_has_four_tiles_and_black_for_what_is_missing(visible, thermal, black):
    row = drawing.mosaic_row(result(visible=visible, thermal=thermal))
    assert row.shape == (120, 640, 3)
    for tile in range(4):
        body = row[40:60, tile * 160 : (tile + 1) * 160]
        assert bool(body.any()) == (tile not in black)
