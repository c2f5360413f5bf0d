"""Stamps of a camera's own clock, brought to the clock of the arrivals."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vi_fusion_ros.sync.stamp_source import StampEstimator, StampSource

MS = 1_000_000
HOST = 1_764_000_000_000 * MS
LEAST_DELAY = 2 * MS


def camera(rng, seconds, rate_hz=30, epoch_ns=0, drift=0.0, jitter_ms=10.0, bursts=1, begin_ns=0):
    """Truth, stamp and arrival of images: the least delay and jitter, and so many at once that were held back."""
    images = []
    for n in range(round(seconds * rate_hz)):
        truth = HOST + begin_ns + round(n * 1e9 / rate_hz)
        stamp = epoch_ns + round((truth - HOST) * (1 - drift))
        images.append((truth, stamp, truth + LEAST_DELAY + round(rng.expovariate(1 / jitter_ms) * MS)))
    for first in range(0, len(images), bursts):
        group = slice(first, first + bursts)
        latest = max(arrival for _, _, arrival in images[group])
        if bursts > 1 and (first // bursts) % 3:  # every third group comes straight through
            images[group] = [(truth, stamp, latest) for truth, stamp, _ in images[group]]
    newest = 0
    in_order = []
    for truth, stamp, arrival in images:
        newest = max(newest, arrival)
        in_order.append((truth, stamp, newest))
    return in_order


def errors_ms(estimator, images):
    return [(estimator.take(stamp, arrival) - truth - LEAST_DELAY) / MS for truth, stamp, arrival in images]


worlds = st.fixed_dictionaries(
    {
        "rate_hz": st.sampled_from([9, 27, 30, 60]),
        "epoch_ns": st.sampled_from([5 * MS, 3_600_000 * MS, HOST + 37_000 * MS, HOST - 315_964_800_000 * MS]),
        "drift": st.floats(-1e-4, 1e-4),
        "jitter_ms": st.floats(0.1, 15),
        "bursts": st.sampled_from([1, 1, 4, 8]),
    }
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), world=worlds)
def test_stamps_rise_and_come_within_a_few_milliseconds_of_the_truth(seed, world):
    rng = random.Random(seed)
    images = camera(rng, 90, **world)
    estimator = StampEstimator()
    given_ns = [estimator.take(stamp, arrival) for _, stamp, arrival in images]
    assert given_ns == sorted(given_ns)
    assert all(out <= arrival for out, (_, _, arrival) in zip(given_ns, images, strict=True)), "not before it was taken"
    late = images[len(images) // 3 :]
    errors = [
        abs(out - truth - LEAST_DELAY) / MS for out, (truth, _, _) in zip(given_ns[-len(late) :], late, strict=True)
    ]
    assert max(errors) < 5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), shift_ns=st.integers(-(10**9), 10**9), world=worlds)
def test_the_epoch_of_the_camera_makes_no_difference(seed, shift_ns, world):
    images = camera(random.Random(seed), 20, **{**world, "drift": 0.0})
    one, other = StampEstimator(), StampEstimator()
    for _, stamp, arrival in images:
        # Half seconds begin elsewhere, so other images stand for them; the lowest line is nearly the same.
        assert abs(one.take(stamp, arrival) - other.take(stamp + shift_ns + 10**9, arrival)) < 20 * MS


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    restart_ns=st.sampled_from([0, -500 * MS, 100_000 * MS, 3_600_000 * MS, -3_000_000 * MS]),
    world=worlds,
)
def test_a_camera_that_restarts_is_followed(seed, restart_ns, world):
    rng = random.Random(seed)
    estimator = StampEstimator()
    world = {**world, "epoch_ns": 7_200_000 * MS}
    for _, stamp, arrival in camera(rng, 30, **world):
        last = estimator.take(stamp, arrival)
    again = camera(rng, 30, **{**world, "epoch_ns": world["epoch_ns"] + restart_ns}, begin_ns=40_000 * MS)
    given_ns = [estimator.take(stamp, arrival) for _, stamp, arrival in again]
    assert [last, *given_ns] == sorted([last, *given_ns])
    settled = len(again) // 2
    assert (
        max(
            abs(out - truth - LEAST_DELAY) / MS
            for out, (truth, _, _) in zip(given_ns[settled:], again[settled:], strict=True)
        )
        < 12
    )


def test_drift_is_found():
    rng = random.Random(4)
    estimator = StampEstimator()
    errors_ms(estimator, camera(rng, 120, drift=8e-5, jitter_ms=3))
    assert estimator.drift == pytest.approx(8e-5, abs=1e-5)


def test_a_stall_of_a_second_is_no_restart():
    """Images that are held back for a while keep their stamps apart as they were taken."""
    images = camera(random.Random(5), 20, jitter_ms=1)
    held = [
        (truth, stamp, max(arrival, HOST + 11_500 * MS) if 10_500 * MS < truth - HOST < 11_500 * MS else arrival)
        for truth, stamp, arrival in images
    ]
    assert max(map(abs, errors_ms(StampEstimator(), held)[60:])) < 1


def test_time_that_starts_over_is_followed():
    images = camera(random.Random(6), 5)
    estimator = StampEstimator()
    first, second = (errors_ms(estimator, images) for _ in range(2))
    assert max(map(abs, second)) < max(map(abs, first)) + 100
    assert abs(second[-1]) < 3


def test_images_out_of_order_keep_their_places():
    estimator = StampEstimator()
    for n in range(60):
        estimator.take(n * 33 * MS, HOST + n * 33 * MS)
    late = estimator.take(58 * 33 * MS + MS, HOST + 60 * 33 * MS)
    assert late == HOST + 58 * 33 * MS + MS
    assert estimator.take(61 * 33 * MS, HOST + 61 * 33 * MS) == HOST + 61 * 33 * MS


def test_stamps_that_stand_still_stay_so():
    estimator = StampEstimator()
    assert len({estimator.take(77, HOST + n * 33 * MS) for n in range(30)}) == 1


def test_the_sources():
    assert StampSource("header").stamp(5, HOST) == 5
    assert StampSource("header").stamp(0, HOST) == 0
    assert StampSource("arrival").stamp(0, HOST) == HOST
    assert StampSource("estimated").stamp(0, HOST) == 0, "without a stamp there is nothing to estimate"
    assert StampSource("estimated").stamp(77, HOST) == HOST
    with pytest.raises(ValueError, match="stamp_source is 'gps'; expected header, arrival, estimated"):
        StampSource("gps")
