"""The order of stamps, whatever the order of recording."""

import numpy as np
import pytest

from vi_fusion_ros.bags.stamp_order import NO_STAMP, by_rank, most_held, ranks_by_stamp

MS = 1_000_000


def ranked(entries):
    """The (camera, stamp) of entries of camera, log time and stamp, in order of rank; times in milliseconds."""
    columns = [np.array(column, np.int64) for column in zip(*entries, strict=True)]
    cameras, logs, stamps = columns[0], columns[1] * MS, np.where(columns[2] == -1, NO_STAMP, columns[2] * MS)
    ranks = ranks_by_stamp(cameras, logs, stamps)
    assert sorted(ranks) == list(range(len(entries)))
    return [(int(cameras[i]), int(columns[2][i])) for i in np.argsort(ranks)]


def camera(number, stamps, delay=5, log=None):
    return [(number, stamp + delay if log is None else log + k, stamp) for k, stamp in enumerate(stamps)]


def by_log(*streams):
    return sorted((entry for stream in streams for entry in stream), key=lambda entry: entry[1])


A, B = list(range(0, 1000, 33)), list(range(3, 1000, 33))
TOGETHER = sorted([(0, stamp) for stamp in A] + [(1, stamp) for stamp in B], key=lambda entry: entry[1])


@pytest.mark.parametrize("delay", [5, 450, -450, 100_000])
def test_the_delay_of_log_times_plays_no_part(delay):
    assert ranked(by_log(camera(0, A), camera(1, B, delay))) == TOGETHER


def test_nor_does_the_order_of_recording():
    shuffled = camera(0, np.random.default_rng(0).permutation(A[:4]).tolist() + A[4:], log=0)
    assert ranked([*shuffled, *camera(1, B, log=5000)]) == TOGETHER


@pytest.mark.parametrize("delay", [5, 450, 5000])
def test_a_bag_that_loops_is_matched_round_by_round(delay):
    rounds = [camera(n, stamps, start + late) for n, stamps, late in ((0, A, 5), (1, B, delay)) for start in (0, 1100)]
    assert ranked(by_log(*rounds)) == TOGETHER * 2


def test_a_camera_that_misses_the_second_of_three_rounds():
    rounds = [camera(0, A, start) for start in (0, 1100, 2200)] + [camera(1, B, start) for start in (0, 2200)]
    got = ranked(by_log(*rounds))
    assert got == TOGETHER + [(0, stamp) for stamp in A] + TOGETHER


def test_a_clock_that_is_set_back_a_little_goes_on_in_the_same_time():
    late = [stamp if stamp < 500 else stamp - 300 for stamp in B]  # 0.3 s
    got = ranked(by_log(camera(0, A), camera(1, late)))
    assert [entry for entry in got if entry[0] == 0] == [(0, stamp) for stamp in A]
    assert [stamp for _, stamp in got] == sorted(A + late)


def test_a_clock_of_one_camera_that_starts_over_leaves_the_other_camera_in_order():
    first = list(range(5000, 10000, 33))
    got = ranked(by_log(camera(0, list(range(5000, 15000, 33))), camera(1, first), camera(1, A, 10005)))
    assert [entry for entry in got if entry[0] == 0] == [(0, stamp) for stamp in range(5000, 15000, 33)]
    assert got[-len(A) :] == [(1, stamp) for stamp in A]


def test_messages_without_a_stamp_stay_behind_the_one_before_them():
    assert ranked([(0, 0, -1), (0, 1, 10), (0, 2, -1), (1, 3, 5), (0, 4, 20)]) == [
        (1, 5), (0, -1), (0, 10), (0, -1), (0, 20),
    ]  # fmt: skip
    assert ranked([(0, 0, -1), (1, 1, -1)]) == [(0, -1), (1, -1)]


def test_items_leave_by_rank_as_soon_as_they_can():
    ranks, seen = np.array([1, 0, 2, 4, 3]), []

    def items():
        for item in "badec":
            seen.append(item)
            yield item

    left = [(item, len(seen)) for _, item in by_rank(items(), ranks)]
    assert left == [("a", 2), ("b", 2), ("d", 3), ("c", 5), ("e", 5)]
    assert most_held(ranks) == 1
    assert most_held(np.arange(9)) == 0
    assert [item for _, item in by_rank("ba", np.array([1, 0, 2]))] == ["a", "b"]


def test_what_one_camera_lags_is_what_would_be_held():
    entries = by_log(camera(0, A, 0), camera(1, B, 450))
    cameras, logs, stamps = (np.array(column, np.int64) for column in zip(*entries, strict=True))
    assert most_held(ranks_by_stamp(cameras, logs * MS, stamps * MS)) == pytest.approx(14, abs=2)
