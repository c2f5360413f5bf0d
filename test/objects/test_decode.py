"""Maps of objects that are known by heart, and what becomes of them."""

import math

import numpy as np
import pytest

from vi_fusion_ros import objects as module
from vi_fusion_ros.engines.calibration import Calibration
from vi_fusion_ros.objects import MOST, with_temperatures
from vi_fusion_ros.thermal.radiometry import Radiometry
from vi_fusion_ros.types import DetectedObject

LABELS = ("person", "car")
PLACES = (12, 16)  # of an image of 128x96
SIZE = (128, 96)
NOTHING = -20.0


def decode(objects, labels, calibration, size, padded=None):
    """With the padding that leaves places 8 pixels wide, where nothing else is said."""
    padded = padded or (8 * objects.shape[2], 8 * objects.shape[1])
    return module.decode(objects, labels, calibration, size, padded)


def calibration(temperature=(1.0, 1.0), bias=(0.0, 0.0), thresholds=(0.3, 0.3)):
    return Calibration(np.array(temperature), np.array(bias), np.array(thresholds))


def empty(places=PLACES):
    """No score anywhere, and boxes of 16x16 pixels."""
    scores = np.full((2, *places), NOTHING, np.float32)
    return np.concatenate([scores, np.full((8, *places), 8, np.float32)])


def put(objects, label, row, column, score, sides=None):
    objects[label, row, column] = score
    if sides is not None:
        objects[2 + 4 * label : 6 + 4 * label, row, column] = sides
    return objects


def test_an_object_is_where_the_map_says():
    objects = put(empty(), 1, 5, 7, 2.0, (10, 6, 14, 18))
    (found,) = decode(objects, LABELS, calibration(), SIZE)
    assert (found.label, found.box) == ("car", (60 - 10, 44 - 6, 60 + 14, 44 + 18))
    assert found.probability == pytest.approx(1 / (1 + math.exp(-2)))
    assert math.isnan(found.mean_kelvin)
    assert math.isnan(found.max_kelvin)
    assert [type(edge) for edge in found.box] == [float] * 4


def test_places_are_as_large_as_the_input_makes_them():
    """A map of 16x12 places over an image of 256x120: places of 16x10 pixels, sides in eighths of them."""
    objects = put(empty(), 1, 5, 7, 2.0, (10, 6, 14, 18))
    (found,) = decode(objects, LABELS, calibration(), (256, 120), (256, 120))
    assert found.box == (120 - 20, 55 - 7.5, 120 + 28, 55 + 22.5)


def test_probabilities_are_calibrated_by_label_and_compared_with_its_threshold():
    objects = put(put(empty(), 0, 2, 2, 3.0), 1, 8, 12, 3.0)
    found = decode(objects, LABELS, calibration((2.0, 1.0), (1.0, 4.0), (0.7, 0.3)), SIZE)
    assert [(f.label, round(f.probability, 6)) for f in found] == [("person", round(1 / (1 + math.exp(-1)), 6))]
    assert len(decode(objects, LABELS, calibration((2.0, 1.0), (1.0, 4.0), (0.8, 0.2)), SIZE)) == 1
    assert decode(objects, LABELS, calibration(thresholds=(1.0, 1.0)), SIZE) == ()


def test_only_a_place_that_no_neighbour_exceeds_counts():
    objects = put(put(empty(), 0, 4, 4, 2.0, (2, 2, 2, 2)), 0, 5, 5, 3.0, (2, 2, 2, 2))
    (found,) = decode(objects, LABELS, calibration(), SIZE)
    assert found.box == (42, 42, 46, 46)
    put(objects, 0, 4, 7, 2.5, (2, 2, 2, 2))  # two places on
    assert [f.x0 for f in decode(objects, LABELS, calibration(), SIZE)] == [42, 58]


def test_of_boxes_that_are_mostly_one_the_surest_of_a_label_remains():
    objects = empty()
    for column, score in ((4, 1.0), (7, 2.0)):  # 24 pixels apart, 100 wide: an IoU of 0.61
        put(objects, 0, 5, column, score, (20, 20, 80, 20))
        put(objects, 1, 5, column + 1, score / 2, (20, 20, 80, 20))
    found = decode(objects, LABELS, calibration(thresholds=(0.1, 0.1)), (1000, 96))
    assert [(f.label, f.x0) for f in found] == [("person", 40), ("car", 48)]
    put(objects, 0, 5, 7, 2.0, (0, 20, 80, 20))  # moved apart: an IoU of 0.45
    assert len([f for f in decode(objects, LABELS, calibration(), (1000, 96)) if f.label == "person"]) == 2


def test_a_box_that_was_suppressed_suppresses_none():
    objects = empty()
    for column, score in (
        (2, 3.0),
        (4, 2.0),
        (6, 1.0),
    ):  # each overlaps the next by two thirds, the third the first less
        put(objects, 0, 5, column, score, (8, 20, 72, 20))
    found = decode(objects, LABELS, calibration(), (1000, 96))
    assert [f.x0 for f in found] == [12, 44]


def test_boxes_end_at_the_image_and_those_outside_of_it_are_none():
    objects = put(empty(), 0, 0, 0, 5.0, (50, 50, 500, 10))
    put(objects, 1, 11, 15, 4.0, (5, 5, 500, 500))
    found = decode(objects, LABELS, calibration(), (123, 94))  # the rest is padding
    assert [f.box for f in found] == [(0, 0, 123, 14), (119, 87, 123, 94)]
    put(objects, 1, 11, 15, 4.0, (0.5, 5, 500, 500))  # begins at 123.5
    assert [f.label for f in decode(objects, LABELS, calibration(), (123, 94))] == ["person"]


def test_sides_that_make_no_box_are_none():
    objects = put(empty(), 0, 5, 5, 5.0, (-20, 8, 8, 8))
    assert decode(objects, LABELS, calibration(), SIZE) == ()


def test_the_surest_come_first_and_there_are_at_most_a_hundred():
    objects = empty((60, 80))
    objects[:2] = np.random.default_rng(0).random((2, 60, 80), np.float32) * 8
    found = decode(objects, LABELS, calibration(), (640, 480))
    assert len(found) == MOST == 100
    probabilities = [f.probability for f in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert {f.label for f in found} == set(LABELS)


@pytest.mark.parametrize("score", [NOTHING, 0.0, 50.0])
def test_a_map_without_any_maximum(score):
    objects = empty()
    objects[:2] = score
    found = decode(objects, LABELS, calibration(), SIZE)
    assert len(found) == (0 if score < 0 else MOST)


def test_one_place():
    objects = put(empty((1, 1)), 0, 0, 0, 5.0)
    assert [f.box for f in decode(objects, LABELS, calibration(), (3, 1))] == [(0, 0, 3, 1)]


BOX = DetectedObject("person", 0.9, 2.4, 1.0, 5.6, 3.0)  # the pixels 2 to 5 of the rows 1 and 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_temperatures_are_of_the_pixels_inside_the_box(dtype):
    thermal = np.full((6, 8), 200, dtype)
    thermal[1:3, 2:6] = 100
    thermal[2, 3] = 108
    mask = np.full((6, 8), 255, np.uint8)
    (found,) = with_temperatures([BOX], thermal, mask, Radiometry(0.5, 10, "celsius"))
    assert found.mean_kelvin == pytest.approx(101 * 0.5 + 10 + 273.15, abs=1e-4)
    assert found.max_kelvin == pytest.approx(108 * 0.5 + 10 + 273.15, abs=1e-4)
    assert (found.label, found.probability, found.box) == (BOX.label, BOX.probability, BOX.box)


def test_pixels_without_data_are_left_out():
    thermal = np.full((6, 8), np.nan, np.float32)
    thermal[1, 2:4] = 300, 310
    mask = np.isfinite(thermal).astype(np.uint8) * np.uint8(255)
    (found,) = with_temperatures([BOX], thermal, mask, Radiometry(1.0))
    assert (found.mean_kelvin, found.max_kelvin) == (305, 310)
    (unknown,) = with_temperatures([BOX], thermal, np.zeros_like(mask), Radiometry(1.0))
    assert math.isnan(unknown.mean_kelvin)
    assert math.isnan(unknown.max_kelvin)


@pytest.mark.parametrize("left", [0.0, 0.49, 0.5, 0.51, 6.99, 7.0])
def test_a_box_of_one_pixel_has_a_temperature(left):
    box = DetectedObject("person", 0.9, left, 0.5, left + 1, 1.5)
    (found,) = with_temperatures([box], np.full((6, 8), 7, np.uint16), np.full((6, 8), 255, np.uint8), Radiometry(1.0))
    assert found.max_kelvin == 7
