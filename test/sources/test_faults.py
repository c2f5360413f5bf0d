import itertools

import pytest

from vi_fusion_ros.sources.faults import DISABLING, FAULT_KINDS, SHIFT_S, FaultPlan


def faults(plan, seconds):
    """The faults of a plan in the order in which they come."""
    seen = []
    for tick in range(int(seconds * 100)):
        fault = plan.at(tick / 100)
        if fault is not None and (not seen or seen[-1] is not fault):
            seen.append(fault)
    return seen


def test_every_kind_comes_once_before_any_comes_again():
    seen = faults(FaultPlan(FAULT_KINDS, 3, 2.0), 100)
    count = len(FAULT_KINDS)
    assert {fault.kind for fault in seen[:count]} == set(FAULT_KINDS)
    assert {fault.kind for fault in seen[count : 2 * count]} == set(FAULT_KINDS)


def test_there_is_healthy_time_between_faults():
    for one, two in itertools.pairwise(faults(FaultPlan(FAULT_KINDS, 1, 2.0), 100)):
        assert 1.5 <= one.end_s - one.start_s <= 2.5
        assert 1.5 <= two.start_s - one.end_s <= 2.5


def test_a_plan_follows_from_its_seed():
    def plan(seed):
        return faults(FaultPlan(FAULT_KINDS, seed, 1.0), 60)

    assert plan(5) == plan(5)
    assert plan(5) != plan(6)


def test_cameras_share_a_clock_and_fail_alone_or_together():
    seen = faults(FaultPlan(FAULT_KINDS, 0, 0.5), 300)
    assert {f.cameras for f in seen if f.kind in SHIFT_S} == {("visible", "thermal")}
    assert len({f.cameras for f in seen if f.kind in DISABLING}) == 3
    fault = next(f for f in seen if f.cameras == ("visible",))
    assert fault.hits("visible", fault.start_s)
    assert not fault.hits("thermal", fault.start_s)
    assert not fault.hits("visible", fault.end_s)


@pytest.mark.parametrize("kinds", [["hiccup"], []])
def test_unknown_kinds_are_one_sentence(kinds):
    with pytest.raises(ValueError, match="expected some of black, burst"):
        FaultPlan(kinds, 0, 1.0)
