"""What the pairing tests share: random camera streams, a driver with a clock, and message_filters' greedy rule."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import strategies as st

from vi_fusion_ros.sync.pairing import NearestPairing, Pair, PairingPolicy

MS = 1_000_000
VISIBLE, THERMAL = 0, 1
START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True, order=True)
class Arrival:
    """A frame: when it arrives (monotonic), which camera's it is and its stamp, nanoseconds."""

    now_ns: int
    side: int
    stamp_ns: int


@dataclass(frozen=True)
class Camera:
    """Rate in Hz; the rest in seconds, ``drop`` a probability."""

    rate: float
    phase: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)


def stream(camera: Camera, side: int, duration: float, rng: random.Random) -> list[Arrival]:
    """Frames of one camera, stamps and arrivals both strictly rising: a transport that keeps the order."""
    arrivals: list[Arrival] = []
    for n in range(int(duration * camera.rate)):
        stamp = START_NS + round((n / camera.rate + camera.phase + rng.uniform(-1, 1) * camera.jitter) * 1e9)
        now = stamp - START_NS + round(rng.uniform(*camera.delay) * 1e9)
        if rng.random() < camera.drop or (arrivals and stamp <= arrivals[-1].stamp_ns):
            continue
        if arrivals:
            now = max(now, arrivals[-1].now_ns + 1)
        arrivals.append(Arrival(now, side, stamp))
    return arrivals


def streams(visible: Camera, thermal: Camera, duration: float = 2.0, seed: int = 0) -> list[Arrival]:
    """Frames of both cameras in the order of arrival."""
    rng = random.Random(seed)
    return sorted(stream(visible, VISIBLE, duration, rng) + stream(thermal, THERMAL, duration, rng))


def cameras(rates: list[float], max_drop: float = 0.3) -> st.SearchStrategy[Camera]:
    """Random cameras; jitter stays below a fifth of the period."""
    return st.builds(
        lambda rate, phase, jitter, drop, delay: Camera(
            rate, phase / rate, jitter / rate, drop, (delay[0], delay[0] + delay[1])
        ),
        st.sampled_from(rates),
        st.floats(0, 1),
        st.floats(0, 0.2),
        st.floats(0, max_drop),
        st.tuples(st.floats(0, 0.05), st.floats(0, 0.02)),
    )


class Driver:
    """Feeds a NearestPairing and polls it at its deadlines, as the node does; checks the books after every step."""

    def __init__(self, policy: PairingPolicy) -> None:
        self.pairing: NearestPairing[Arrival] = NearestPairing(policy)
        self.pairs: list[Pair[Arrival]] = []
        self.released_ns: list[int] = []

    def feed(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            self.until(arrival.now_ns)
            add = self.pairing.add_visible if arrival.side == VISIBLE else self.pairing.add_thermal
            self._take(add(arrival, arrival.stamp_ns, arrival.now_ns), arrival.now_ns)

    def until(self, now_ns: float) -> None:
        while (deadline := self.pairing.next_deadline_ns()) is not None and deadline <= now_ns:
            self._take(self.pairing.poll(deadline), deadline)

    def finish(self) -> None:
        """Let every wait run out, then flush."""
        self.until(float("inf"))
        self._take(self.pairing.flush(0), 0)

    def _take(self, pairs: list[Pair[Arrival]], now_ns: int) -> None:
        self.pairs += pairs
        self.released_ns += [now_ns] * len(pairs)
        p = self.pairing
        assert p.received == 2 * p.pairs + sum(p.drops.values()) + p.pending
        assert p.pairs == len(self.pairs)


def run(arrivals: list[Arrival], policy: PairingPolicy) -> Driver:
    """Everything fed, everything waited for."""
    driver = Driver(policy)
    driver.feed(arrivals)
    driver.finish()
    return driver


def greedy(arrivals: list[Arrival], slop_ns: int, queue_size: int) -> list[tuple[Arrival, Arrival]]:
    """The rule of message_filters' Python ApproximateTimeSynchronizer (Humble to Rolling), for two inputs."""
    queues: list[dict[int, Arrival]] = [{}, {}]
    pairs = []
    for arrival in arrivals:
        mine, others = queues[arrival.side], queues[1 - arrival.side]
        mine[arrival.stamp_ns] = arrival
        while len(mine) > queue_size:
            del mine[min(mine)]
        for stamp in sorted(others, key=lambda s: abs(s - arrival.stamp_ns)):
            if abs(stamp - arrival.stamp_ns) < slop_ns and arrival.stamp_ns in mine:
                other = others.pop(stamp)
                pairs.append((arrival, other) if arrival.side == VISIBLE else (other, arrival))
                del mine[arrival.stamp_ns]
                break
    return pairs
