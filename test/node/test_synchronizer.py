import logging
import sys
import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import CompressedImage, Image

from vi_fusion_ros.node.messages import to_time
from vi_fusion_ros.node.synchronizer import make_synchronizer
from vi_fusion_ros.sync.pairing import PairingPolicy

pytestmark = pytest.mark.ros

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
POLICY = PairingPolicy(max_skew_ns=40 * MS, max_wait_ns=50 * MS)
LOGGER = logging.getLogger("test_synchronizer")
POLICIES = ["nearest", "approximate", "exact"]


def image(ms, kind=Image):
    message = kind()
    message.header.stamp = to_time(START_NS + round(ms * MS))
    return message


class Clock:
    ns = 0

    def __call__(self):
        return self.ns


@pytest.fixture
def clock():
    return Clock()


def synchronizer(name, clock, policy=POLICY, filters=None):
    if name != "nearest":
        pytest.importorskip("message_filters", reason="message_filters is not installed (apt only)")
    return make_synchronizer(name, policy, LOGGER, clock, filters)


@pytest.mark.parametrize("name", POLICIES)
def test_pairs_reach_the_callback_with_its_arguments(name, clock):
    sync = synchronizer(name, clock)
    got = []
    assert sync.registerCallback(lambda *args: got.append(args), "extra") == 0
    visible, thermal = image(0), image(0, CompressedImage)
    sync.add_visible(visible)
    clock.ns = 7
    sync.add_thermal(thermal)
    assert got == [(visible, thermal, 0, 7, "extra")]
    assert sync.pairs == 1
    assert sum(sync.drops.values()) == 0


@pytest.mark.parametrize("name", ["nearest", "approximate"])
def test_offsets(name, clock):
    sync = synchronizer(name, clock, PairingPolicy(10 * MS, 0, visible_offset_ns=-100 * MS, thermal_offset_ns=MS))
    skews = []
    sync.registerCallback(lambda v, t, skew, wait: skews.append(skew))
    sync.add_visible(image(100))
    sync.add_thermal(image(2))
    assert skews == [3 * MS]


@pytest.mark.parametrize("name", POLICIES)
def test_an_exception_is_logged_and_counted_and_nothing_stays_locked(name, clock, caplog):
    sync = synchronizer(name, clock)
    got = []

    def broken(visible, thermal, skew_ns, sync_wait_ns):
        raise RuntimeError("a bug of the user")

    sync.registerCallback(broken)
    sync.registerCallback(lambda *args: got.append(args))
    done = threading.Event()

    def feed():
        for n in range(3):
            sync.add_visible(image(n * 33))
            sync.add_thermal(image(n * 33))
        done.set()

    threading.Thread(target=feed, daemon=True).start()
    assert done.wait(10), "the synchronizer stayed locked"
    assert (sync.callback_errors, len(got), sync.pairs) == (3, 3, 3)
    assert "broken raised RuntimeError: a bug of the user" in caplog.text


@pytest.mark.parametrize("name", POLICIES)
def test_a_callback_may_call_the_synchronizer(name, clock):
    sync = synchronizer(name, clock)
    order = []

    def again(visible, thermal, skew_ns, sync_wait_ns):
        n = len(order)
        order.append("begin")
        if n == 0:
            sync.add_visible(image(33))
            sync.add_thermal(image(33))
            worker = threading.Thread(target=sync.poll)  # another thread must not find a lock held
            worker.start()
            worker.join(10)
            assert not worker.is_alive()
        order.append("end")

    sync.registerCallback(again)
    sync.add_visible(image(0))
    sync.add_thermal(image(0))
    assert order == ["begin", "end"] * 2
    assert sync.callback_errors == 0


def test_many_threads_lose_and_repeat_nothing(clock):
    sync = synchronizer("nearest", clock)
    pairs = []
    sync.registerCallback(lambda v, t, skew, wait: pairs.append((v.header.stamp.nanosec, v, t)))
    count = 300
    turn = threading.Barrier(3)

    def feed(add):
        for n in range(count):
            turn.wait(10)  # in step, so that neither stream runs away from the other
            add(image(n))

    def poll():
        for _ in range(count):
            turn.wait(10)
            sync.poll()

    threads = [threading.Thread(target=feed, args=(add,)) for add in (sync.add_visible, sync.add_thermal)]
    threads.append(threading.Thread(target=poll))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    clock.ns = 10**12
    sync.poll()
    assert len(pairs) == sync.pairs == count
    assert [stamp for stamp, *_ in pairs] == sorted(stamp for stamp, *_ in pairs)
    assert len({id(x) for _, *both in pairs for x in both}) == 2 * count


def test_the_wait_is_over_at_the_deadline(clock):
    sync = synchronizer("nearest", clock)
    skews = []
    sync.registerCallback(lambda v, t, skew, wait: skews.append((skew, wait)))
    sync.add_visible(image(0))
    assert sync.next_deadline_ns is None
    sync.add_thermal(image(20))
    assert sync.poll() == sync.next_deadline_ns == 50 * MS
    assert skews == []
    clock.ns = 50 * MS
    assert sync.poll() is None
    assert skews == [(20 * MS, 50 * MS)]


@pytest.mark.parametrize("name", POLICIES)
def test_a_loop_gives_the_same_pairs_on_every_pass(name, clock):
    sync = synchronizer(name, clock)
    counts = []
    for _ in range(3):
        for n in range(90):
            clock.ns += 33 * MS
            sync.poll()
            sync.add_visible(image(n * 100 / 3))
            if n % 3 == 0:
                sync.add_thermal(image(n * 100 / 3))
        clock.ns += 100 * MS
        sync.poll()
        counts.append(sync.pairs)
    assert counts == [30, 60, 90]
    assert sync.time_resets == 2


@pytest.mark.parametrize("name", POLICIES)
def test_reset_and_drop_counts(name, clock):
    sync = synchronizer(name, clock)
    for n in range(12):
        sync.add_visible(image(n * 33))
    sync.reset()
    drops = sync.drops
    assert drops["time_reset"] == 10
    assert sum(drops.values()) == 12
    sync.registerCallback(lambda *args: None)
    sync.add_visible(image(0))
    sync.add_thermal(image(0))
    assert (sync.pairs, sync.time_resets) == (1, 0)


@pytest.mark.parametrize("name", POLICIES)
def test_inputs_that_are_message_filters(name, clock):
    message_filters = pytest.importorskip("message_filters", reason="message_filters is not installed (apt only)")
    inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
    sync = synchronizer(name, clock, filters=inputs)
    got = []
    sync.registerCallback(lambda v, t, skew, wait: got.append((v, t)))
    visible, thermal = image(5), image(5)
    inputs[1].signalMessage(thermal)
    inputs[0].signalMessage(visible)
    assert got == [(visible, thermal)]


def test_wrong_use_is_one_sentence(clock):
    with pytest.raises(ValueError, match="nearest, approximate or exact, not 'hopeful'"):
        make_synchronizer("hopeful", POLICY, LOGGER)
    with pytest.raises(ValueError, match="two inputs"):
        make_synchronizer("nearest", POLICY, LOGGER, filters=[])
    with pytest.raises(ValueError, match="came for None"):
        make_synchronizer("nearest", POLICY, LOGGER).add(image(0))


def test_a_missing_message_filters_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "message_filters", None)
    for name in ("approximate", "exact"):
        with pytest.raises(ValueError, match=f"{name} needs message_filters: install ros-"):
            make_synchronizer(name, POLICY, LOGGER)
