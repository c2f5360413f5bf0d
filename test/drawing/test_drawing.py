"""Pictures for people: what is drawn is where it belongs, and the images it is drawn from stay as they are."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vi_fusion_ros import drawing
from vi_fusion_ros.types import HOT_REGION, DetectedObject, Frame, FramePair, FusionResult, LabelScore


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


def found(label, probability, x0, y0, x1, y1):
    return DetectedObject(label, probability, x0, y0, x1, y1)


def test_boxes_are_drawn_in_a_colour_a_label_with_their_names():
    shown = replace(result(), objects=(found("person", 0.9, 20, 40, 50, 110), found("car", 0.6, 80, 50, 140, 90)))
    image = drawing.with_objects(shown)
    assert image.shape == (120, 160, 3)
    assert (shown.fused == 90).all()
    person, car = image[80, 20], image[70, 80]
    assert tuple(person) != tuple(car)
    for edge, color in ((image[60:105, 20], person), (image[60:105, 49], person), (image[60:85, 139], car)):
        assert (edge == color).all()
    assert (image[60:100, 25:45] == 90).all(), "inside of a box the image stays as it is"
    above = image[20:39, 20:60].reshape(-1, 3)
    assert (above == person).all(axis=1).mean() > 0.2, "the strip with the name"
    assert (above.max(axis=1) < 60).any(), "dark letters"


def test_a_hot_region_is_white_and_has_no_probability():
    regions = (found("person", 0.9, 20, 40, 50, 110), found(HOT_REGION, math.nan, 90, 70, 150, 110))
    image = drawing.with_objects(replace(result(), objects=regions))
    assert (image[80:105, 90] == 255).all()
    above = image[58:69, 90:150].reshape(-1, 3)
    assert (above == 255).all(axis=1).mean() > 0.4, "the strip with the name"
    assert (above.max(axis=1) < 60).any(), "dark letters"
    assert drawing.mosaic_row(replace(result(), objects=regions)).shape == (120, 640, 3)


def test_names_do_not_cover_each_other_and_stay_in_the_image():
    boxes = [(0, 0, 20, 20), (2, 2, 22, 22), (140, 0, 160, 30), (150, 100, 160, 120), (0, 100, 30, 120)]
    shown = replace(result(), objects=tuple(found("car", 0.9 - n / 100, *box) for n, box in enumerate(boxes)))
    image = drawing.with_objects(shown)
    color = image[110, 150]
    strips, count = cv2.connectedComponents((image == color).all(axis=2).astype(np.uint8))
    assert strips > 1
    assert np.count_nonzero(count) > len(boxes) * 300, "five strips of some 60 by 11 pixels"


def test_a_crop_gets_a_box_without_a_name():
    shown = result()
    small = replace(shown, fused=shown.fused[:40, :40], objects=(found("person", 0.9, 10, 10, 30, 30),))
    changed = np.argwhere((drawing.with_objects(small) != 90).any(axis=2))
    assert changed.min(axis=0).tolist() == [9, 9]
    assert changed.max(axis=0).tolist() == [30, 30]


@pytest.mark.parametrize(("visible", "thermal", "black"), [(True, True, ()), (True, False, (1,)), (False, True, (0,))])
def test_a_mosaic_row_has_four_tiles_and_black_for_what_is_missing(visible, thermal, black):
    row = drawing.mosaic_row(result(visible=visible, thermal=thermal))
    assert row.shape == (120, 640, 3)
    for tile in range(4):
        body = row[40:60, tile * 160 : (tile + 1) * 160]
        assert bool(body.any()) == (tile not in black)
