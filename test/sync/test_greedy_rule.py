"""The greedy rule that the properties compare with is message_filters' own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import MS, cameras, greedy, streams
from test_pairing import RATES, properties

message_filters = pytest.importorskip("message_filters", reason="message_filters is not installed (apt only)")
from builtin_interfaces.msg import Time  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

pytestmark = pytest.mark.ros


@properties
@given(cameras(RATES), cameras(RATES), st.integers(1, 60), st.integers(0, 2**32))
def test_greedy_is_message_filters(visible, thermal, slop_ms, seed):
    arrivals = streams(visible, thermal, duration=1.0, seed=seed)
    inputs = [message_filters.SimpleFilter(), message_filters.SimpleFilter()]
    theirs = []
    sync = message_filters.ApproximateTimeSynchronizer(inputs, 10, slop_ms / 1000)
    sync.registerCallback(lambda v, t: theirs.append((ns(v), ns(t))))
    for arrival in arrivals:
        message = Image()
        message.header.stamp = Time(sec=arrival.stamp_ns // 10**9, nanosec=arrival.stamp_ns % 10**9)
        inputs[arrival.side].signalMessage(message)
    assert theirs == [(v.stamp_ns, t.stamp_ns) for v, t in greedy(arrivals, slop_ms * MS, 10)]


def ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
