"""Where objects are: the targets of the object map, worked out by hand. A place is 4 pixels at half resolution."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.training.batches.places import ObjectMap

KNOWN = np.array([True, True, False])


def made(*box, label=0):
    found = ObjectMap((32, 48), KNOWN)
    if box:
        found.add(label, *box)
    return found


def test_nothing_is_there_where_absent_and_unknown_elsewhere():
    found = made()
    assert found.centres.shape == found.weight.shape == (3, 8, 12)
    assert found.sides.shape == (12, 8, 12)
    assert (found.centres[:2] == 0).all()
    assert (found.centres[2] == -1).all()
    assert not found.weight.any()


def test_an_object_has_its_centre_in_one_place_and_falls_off_around_it():
    found = made(0, 0, 40, 28)  # centre (20, 14): column 5, row 3
    assert np.argwhere(found.centres[0] == 1).tolist() == [[3, 5]]
    row = found.centres[0, 3]
    assert row[5] > row[6] > row[7] > row[8] == 0
    assert row[4] == row[6]
    assert (found.centres[1] == 0).all()
    assert found.centres[0].min() == 0


def test_sides_are_distances_in_pixels_of_the_full_resolution():
    found = made(8, 4, 24, 20)
    # The middle of column 4, row 3 is (18, 14) at half resolution.
    assert found.sides[:4, 3, 4].tolist() == [20, 20, 12, 12]
    assert found.weight[0, 3, 4] == 1
    assert not found.weight[1:].any()
    other = made(8, 4, 24, 20, label=1)
    assert other.sides[4:8, 3, 4].tolist() == [20, 20, 12, 12]
    assert not other.sides[:4].any()


def test_of_two_objects_in_one_place_the_smaller_has_its_sides_learned_whatever_the_order():
    small, large = (14, 10, 22, 18), (2, 0, 34, 28)
    for order in ((small, large), (large, small)):
        found = made()
        for box in order:
            found.add(0, *box)
        assert found.sides[:4, 3, 4].tolist() == [8, 8, 8, 8]


def test_an_object_whose_centre_is_outside_is_no_target():
    found = made(-30, 4, 10, 20)
    assert (found.centres[0] == 0).all()


def test_what_is_ignored_is_unknown_and_keeps_the_objects_in_it():
    found = made(8, 4, 24, 20)
    found.ignore(slice(None), 0, 0, 48, 16)
    assert found.centres[0, 3, 4] == 1
    assert (found.centres[1, :4] == -1).all()
    assert (found.centres[1, 4:] == 0).all()
    one = made(8, 4, 24, 20)
    one.ignore(slice(1, 2), 5, 5, 9, 9)  # what it touches: columns and rows 1 and 2
    assert np.argwhere(one.centres[1] == -1).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert one.centres[0].min() == 0


def test_what_is_covered_takes_its_objects_along():
    found = made(8, 4, 24, 20)
    found.ignore(slice(None), 0, 0, 48, 32, keep_objects=False)
    assert (found.centres == -1).all()
    assert not found.weight.any()


def test_a_mirrored_map_is_the_map_of_the_mirrored_box():
    # 48 pixels wide: x to 48 - x. The centres lie in the middles of their places, which mirror onto each other.
    found, mirrored = made(8, 4, 28, 24), made(20, 4, 40, 24)
    found.flip()
    np.testing.assert_allclose(found.centres, mirrored.centres)
    np.testing.assert_allclose(found.weight, mirrored.weight)
    there = np.repeat(mirrored.weight > 0, 4, 0)
    np.testing.assert_allclose(found.sides[there], mirrored.sides[there])
