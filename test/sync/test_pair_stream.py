"""The account of messages and the clock that goes by their stamps."""

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vi_fusion_ros.sync.pair_stream import POLICY, DecodedPair, PairStream, StreamProblem, decoded
from vi_fusion_ros.sync.pairing import NearestPairing
from vi_fusion_ros.sync.stamped_image import Codec
from vi_fusion_ros.sync.stamps import StampClock

MS = 1_000_000
START = 1_700_000_000_000 * MS
CODEC = Codec(lambda message: None, lambda message: np.zeros((4, 4), np.uint8))


def message(stamp_ns):
    stamp = SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp, frame_id="camera"))


def add(intake, camera, stamp_ns, now=None, codec=CODEC):
    return intake.add(camera, camera, lambda: message(stamp_ns), codec, stamp_ns if now is None else now)


def streams(seconds=2.0, visible_hz=30, thermal_hz=9):
    visible = [("visible", START + round(n * 1e9 / visible_hz)) for n in range(round(seconds * visible_hz))]
    thermal = [("thermal", START + round(n * 1e9 / thermal_hz) + 3 * MS) for n in range(round(seconds * thermal_hz))]
    return sorted(visible + thermal, key=lambda entry: entry[1])


def pairs_of(entries, clock):
    intake, pairs = PairStream(NearestPairing(replace(POLICY, queue_size=100))), []
    for camera, stamp in entries:
        pairs += add(intake, camera, stamp, clock if clock else stamp)
    pairs += intake.flush(clock.now_ns if clock else entries[-1][1])
    return intake, [(p.visible.stamp_ns, p.thermal.stamp_ns, p.skew_ns) for p in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_by_the_stamp_clock_the_order_between_the_cameras_makes_no_difference(seed):
    entries = streams()
    expected = pairs_of(entries, None)[1]
    assert len(expected) == 18
    # Each camera in order, but one far ahead of the other now and then, as messages that have piled up come.
    queues = {camera: [e for e in entries if e[0] == camera] for camera in ("visible", "thermal")}
    rng, shuffled = random.Random(seed), []
    while any(queues.values()):
        queue = queues[rng.choice([camera for camera in queues if queues[camera]])]
        shuffled += [queue.pop(0) for _ in range(min(rng.randint(1, 12), len(queue)))]
    assert pairs_of(shuffled, StampClock())[1] == expected


def test_the_stamp_clock_never_steps_back():
    once = streams(1.0)
    clock, times = StampClock(), []
    for camera, stamp in [*once, *once]:
        times.append(clock.at(camera, stamp))
    assert all(later >= earlier for earlier, later in itertools.pairwise(times))
    assert 1.5e9 < times[-1] < 2.1e9  # it goes on in the second round


def test_every_message_is_accounted_for():
    intake = PairStream()
    bad = Codec(lambda message: (_ for _ in ()).throw(ValueError("too short")), CODEC.decode)
    assert add(intake, "visible", START, codec=bad) == StreamProblem("invalid_visible", "visible: too short")
    assert add(intake, "thermal", 0).kind == "no_stamp_thermal"
    assert intake.invalid == {}  # noted only by who takes them, in order
    for camera, stamp in streams(1.0):
        add(intake, camera, stamp)
    intake.flush(START)
    assert sum(intake.received.values()) == 41
    assert 2 * intake.pairing.pairs + sum(intake.pairing.drops.values()) == 39
    assert "no pair can be evaluated of 31 visible and 10 thermal images (superseded 21)" in intake.why_nothing(None)


def test_pairs_know_how_often_time_has_jumped_back():
    once = streams(1.0, 30, 30)
    intake, resets = PairStream(), []
    for camera, stamp in [*once, *once]:
        resets += [pair.time_resets for pair in add(intake, camera, stamp, START + len(resets))]
    resets += [pair.time_resets for pair in intake.flush(2 * START)]
    assert resets == [0] * 30 + [1] * 30


def test_an_image_that_cannot_be_decoded_names_camera_and_stamp():
    intake = PairStream()
    broken = Codec(CODEC.check, lambda message: (_ for _ in ()).throw(ValueError("no PNG")))
    add(intake, "visible", START)
    (pair,) = add(intake, "thermal", START, codec=broken)
    assert decoded(pair) == StreamProblem("invalid_thermal", f"thermal image of stamp {START}: no PNG")
    add(intake, "visible", START + 100 * MS)
    (pair,) = add(intake, "thermal", START + 100 * MS)
    assert isinstance(decoded(pair), DecodedPair)
