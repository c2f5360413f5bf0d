"""Shutter events, on a clock of the test's own."""

import numpy as np
import pytest

from vi_fusion_ros.sync.health import Fault, HealthMonitor, Limits
from vi_fusion_ros.sync.shutter import ShutterEvents

LOOK_S = 0.1


def living(number, shape=(48, 64)):
    """Structured, and never the same twice."""
    image = np.random.default_rng(number).integers(29000, 29020, shape, np.uint16)
    image[10:30, 20:40] += 2000
    return image


class Stream:
    """A monitor that is shown images of the thermal camera, one a look."""

    def __init__(self, limits=None):
        self.events = ShutterEvents()
        self.now_s, self.number = 50.0, 0
        self.monitor = HealthMonitor(limits or Limits(), self.now_s, self.events)

    def show(self, seconds, make, camera="thermal", says=None):
        for _ in range(round(seconds / LOOK_S)):
            self.now_s += LOOK_S
            self.number += 1
            self.monitor.usable(camera, make(self.number), self.now_s, says)


def test_images_that_freeze_and_go_on_are_a_shutter():
    stream = Stream()
    stream.show(1.0, living)
    assert stream.events.summary() == (0, 0.0)
    frozen = living(0)
    stream.show(0.4, lambda _: frozen)  # too short to be left out as frozen
    stream.show(1.0, living)
    count, total_s = stream.events.summary()
    assert (count, total_s) == (1, pytest.approx(0.4))
    stream.show(0.8, lambda _: frozen)
    assert stream.events.summary() == (2, pytest.approx(0.4 + 0.7))  # from its first image to the last look
    stream.show(1.0, living)
    assert stream.events.summary() == (2, pytest.approx(0.4 + 0.8))


def test_a_repeated_image_of_a_slow_camera_is_none():
    stream = Stream()
    stream.show(3.0, lambda number: living(number // 3))
    assert stream.events.summary() == (0, 0.0)


def test_a_shutter_that_is_seen_counts_from_its_first_image():
    def closed(number):
        return np.random.default_rng(number).integers(29000, 29004, (48 * 4, 64 * 4), np.uint16)

    stream = Stream()
    stream.show(1.0, lambda number: living(number, (48 * 4, 64 * 4)))
    stream.show(0.5, closed)
    stream.show(0.5, lambda number: living(number, (48 * 4, 64 * 4)))
    assert stream.events.summary() == (1, pytest.approx(0.5))


def test_the_visible_camera_has_none_and_no_look_counts_none():
    frozen = living(0)
    stream = Stream()
    stream.show(2.0, lambda _: frozen, camera="visible")
    assert stream.events.summary() == (0, 0.0)
    stream = Stream(Limits(fault_s=0.0))
    stream.show(2.0, lambda _: frozen)
    assert stream.events.summary() == (0, 0.0)


def test_what_the_camera_says_counts_whatever_the_images_show():
    frozen, stream = living(0), Stream(Limits(silence_s=0.0))
    stream.show(1.0, lambda _: frozen, says=False)
    assert stream.events.summary() == (0, 0.0)
    stream.show(0.5, living, says=True)
    assert stream.monitor.faults(stream.now_s)["thermal"] is Fault.shuttered
    stream.show(1.0, living, says=False)
    assert stream.events.summary() == (1, pytest.approx(0.5))
    assert stream.monitor.faults(stream.now_s)["thermal"] is None


def test_time_without_images_does_not_count():
    events = ShutterEvents()
    events.look(9.7, 10.0)
    events.look(9.7, 10.1)
    events.look(None, 100.0)  # unplugged meanwhile
    assert events.summary() == (1, pytest.approx(0.4 + 0.5))
