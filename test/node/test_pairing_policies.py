"""The policies of message_filters behind the interface of the pairing; ``nearest`` has its own tests in test/sync."""

import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from vi_fusion_ros.node.pairing_policies import make_pairing
from vi_fusion_ros.sync.pairing import Drop, PairingPolicy

pytestmark = pytest.mark.ros

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
POLICY = PairingPolicy(max_skew_ns=40 * MS, max_wait_ns=50 * MS)
POLICIES = ["nearest", "approximate", "exact"]


def pairing_of(name, policy=POLICY):
    if name != "nearest":
        pytest.importorskip("message_filters", reason="message_filters is not installed (apt only)")
    return make_pairing(name, policy)


def stamp(ms):
    return START_NS + round(ms * MS)


@pytest.mark.parametrize("name", POLICIES)
def test_a_pair_with_its_wait(name):
    pairing = pairing_of(name)
    visible, thermal = SimpleNamespace(), SimpleNamespace()
    assert pairing.add("visible", visible, stamp(0), 0) == []
    (pair,) = pairing.add("thermal", thermal, stamp(0), 7)
    assert pair.visible is visible
    assert pair.thermal is thermal
    assert (pair.skew_ns, pair.sync_wait_ns, pairing.pairs, sum(pairing.drops.values())) == (0, 7, 1, 0)


@pytest.mark.parametrize("name", ["nearest", "approximate"])
def test_offsets(name):
    pairing = pairing_of(name, PairingPolicy(10 * MS, 0, visible_offset_ns=-100 * MS, thermal_offset_ns=MS))
    pairing.add("visible", None, stamp(100), 0)
    assert [pair.skew_ns for pair in pairing.add("thermal", None, stamp(2), 0)] == [3 * MS]


@pytest.mark.parametrize("name", POLICIES)
def test_a_loop_gives_the_same_pairs_on_every_pass(name):
    pairing = pairing_of(name)
    now_ns, counts = 0, []
    for _ in range(3):
        for n in range(90):
            now_ns += 33 * MS
            pairing.poll(now_ns)
            pairing.add("visible", n, stamp(n * 100 / 3), now_ns)
            if n % 3 == 0:
                pairing.add("thermal", n, stamp(n * 100 / 3), now_ns)
        now_ns += 100 * MS
        pairing.poll(now_ns)
        counts.append(pairing.pairs)
    assert counts == [30, 60, 90]
    assert pairing.time_resets == 2


@pytest.mark.parametrize("name", POLICIES)
def test_reset_and_drop_counts(name):
    pairing = pairing_of(name)
    for n in range(12):
        pairing.add("visible", n, stamp(n * 33), 0)
    pairing.reset()
    assert pairing.drops[Drop.time_reset] == 10
    assert sum(pairing.drops.values()) == 12
    pairing.add("visible", None, stamp(0), 0)
    pairing.add("thermal", None, stamp(0), 0)
    assert (pairing.pairs, pairing.time_resets) == (1, 0)


def test_an_unknown_policy_is_named():
    with pytest.raises(ValueError, match="nearest, approximate or exact, not 'hopeful'"):
        make_pairing("hopeful", POLICY)


@pytest.mark.parametrize("name", ["approximate", "exact"])
def test_a_missing_message_filters_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "message_filters", None)
    with pytest.raises(ValueError, match=f"{name} needs message_filters: install ros-"):
        make_pairing(name, POLICY)
