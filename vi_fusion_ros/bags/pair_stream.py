"""Image messages of two cameras to pairs, and an account of every message. Used for bags and for live topics alike."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vi_fusion_ros.sync.health import CAMERAS, Camera
from vi_fusion_ros.sync.pairing import NearestPairing, Pair, PairingPolicy
from vi_fusion_ros.types import Frame, FramePair, Image

POLICY = PairingPolicy(max_skew_ns=40_000_000, max_wait_ns=50_000_000)
"""The fusion node's defaults."""

_MOST_PROBLEMS = 100
_JUMP_NS = 100_000_000  # a larger step back of a camera's stamps starts time anew, as in the pairing


class Codec(NamedTuple):
    """How one type of image message is read.

    Attributes:
        check: raises ValueError where the message contradicts itself; looks at no pixel.
        decode: the message's pixels; raises ValueError where it cannot.
        read: the message of its serialised form, faster than by its definition; None where there is no such way.
    """

    check: Callable[[Any], None]
    decode: Callable[[Any], Image]
    read: Callable[[bytes | memoryview], Any] | None = None


class StreamProblem(NamedTuple):
    """Something that could not be used.

    Attributes:
        kind: under which it is counted: ``invalid_visible``, ``no_stamp_visible``, the same of thermal, or ``failed``.
        sentence: for people.
    """

    kind: str
    sentence: str


@dataclass(frozen=True, eq=False)
class PairableMessage:
    """An image message that may be paired.

    Attributes:
        message: shaped like ``sensor_msgs/Image`` or ``CompressedImage``.
        codec: reads it.
        stamp_ns: its stamp.
        arrival_ns: when it arrived, where that is another time than the pairing's clock says; else None.
    """

    message: Any
    codec: Codec
    stamp_ns: int
    arrival_ns: int | None = None


class MessagePair(NamedTuple):
    """Two messages of one moment, not yet decoded.

    Attributes:
        pair: of the messages.
        time_resets: how often time had jumped back when it was formed.
    """

    pair: Pair[PairableMessage]
    time_resets: int


class DecodedPair(NamedTuple):
    """A pair of images.

    Attributes:
        pair: the images.
        decode_ms: how long decoding both took.
        sync_wait_ms: how long the first of the two waited, on the clock of their arrivals.
        time_resets: how often time had jumped back when it was formed; nothing of before may smooth what comes after.
    """

    pair: FramePair
    decode_ms: float
    sync_wait_ms: float
    time_resets: int


class StampClock:
    """A clock that goes by the stamps up to which both cameras have been heard.

    How fast and how evenly messages arrive, and how far one camera runs ahead, makes no difference to it.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._newest_ns: dict[Camera, int] = {}
        self._heard_ns: int | None = None

    def at(self, camera: Camera, stamp_ns: int) -> int:
        """The time when a message of this stamp arrives, nanoseconds; never before an earlier one's."""
        newest_ns = self._newest_ns.get(camera, stamp_ns)
        jumped_back = newest_ns - stamp_ns > _JUMP_NS
        self._newest_ns[camera] = stamp_ns if jumped_back else max(newest_ns, stamp_ns)
        if len(self._newest_ns) == len(CAMERAS):
            heard_ns = min(self._newest_ns.values())
            if self._heard_ns is not None:
                self.now_ns += max(0, heard_ns - self._heard_ns)
            self._heard_ns = heard_ns
        return self.now_ns


class PairStream:
    """Checks and pairs messages as the fusion node does, and keeps account of them. Not thread-safe.

    Args:
        rig_offset_ns: from the rig file, added to the thermal stamps.
        queue_size: images of each camera that may wait for a partner.

    Attributes:
        pairing: counts pairs, drops by reason and jumps back in time.
        received: messages by camera.
        invalid: problems by kind.
        problems: their sentences, the first hundred.
        stamps: by camera, nanoseconds, of the messages that can be paired.
        recorded_steps_back: how often stamps of a camera step back in the order in which they were recorded.
    """

    def __init__(self, rig_offset_ns: int = 0, queue_size: int = POLICY.queue_size) -> None:
        policy = replace(POLICY, thermal_offset_ns=rig_offset_ns, queue_size=queue_size)
        self.pairing: NearestPairing[PairableMessage] = NearestPairing(policy)
        self.received: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stamps: dict[Camera, list[int]] = {camera: [] for camera in CAMERAS}
        self.recorded_steps_back = 0

    def note(self, problem: StreamProblem) -> None:
        """Count a problem and keep its sentence."""
        self.invalid[problem.kind] += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem.sentence)

    def add(
        self,
        camera: Camera,
        where: str,
        read: Callable[[], Any],
        codec: Codec,
        now_ns: int | StampClock,
        arrival_ns: int | None = None,
    ) -> list[MessagePair] | StreamProblem:
        """Take a message; return the pairs that it settles, or why it cannot be used. Notes nothing.

        Args:
            camera: that it comes from.
            where: names the message in sentences.
            read: gives the message; may raise anything.
            codec: of the message's type.
            now_ns: of its arrival, on a clock that never steps back; or a clock that its stamp sets.
            arrival_ns: when it arrived, where the clock is set by stamps.
        """
        self.received[camera] += 1
        try:
            message = read()
            codec.check(message)
        except Exception as error:  # damaged data makes a deserialiser raise whatever it stumbles over
            return StreamProblem(f"invalid_{camera}", f"{where}: {error}")
        stamp_ns = int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
        if stamp_ns == 0:
            return StreamProblem(f"no_stamp_{camera}", f"{where}: stamp zero; expected the time of acquisition")
        self.stamps[camera].append(stamp_ns)
        now_ns = now_ns.at(camera, stamp_ns) if isinstance(now_ns, StampClock) else now_ns
        add = self.pairing.add_visible if camera == "visible" else self.pairing.add_thermal
        resets = self.pairing.time_resets
        pairs = add(PairableMessage(message, codec, stamp_ns, arrival_ns), stamp_ns, now_ns)
        # Where this message jumps back, what it settles is of the time before.
        return [MessagePair(pair, resets) for pair in pairs]

    def flush(self, now_ns: int) -> list[MessagePair]:
        """The pairs that are left at the end."""
        return [MessagePair(pair, self.pairing.time_resets) for pair in self.pairing.flush(now_ns)]

    def why_nothing(self, broken: str | None) -> str:
        """Why no pair can be evaluated, one sentence that says what there was.

        Args:
            broken: why the source ended before its end.
        """
        counts = {**{str(drop.value): n for drop, n in self.pairing.drops.items() if n}, **self.invalid}
        reasons = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none was received"
        received = f"{self.received['visible']} visible and {self.received['thermal']} thermal images"
        first = f"; the first problem: {self.problems[0]}" if self.problems else ""
        end = f"; the bag is broken: {broken}" if broken else ""
        return f"no pair can be evaluated of {received} ({reasons}){first}{end}"


def decoded(messages: MessagePair) -> DecodedPair | StreamProblem:
    """Decode both images of a pair, or say why it cannot be done."""
    pair = messages.pair
    start = time.perf_counter()
    visible, thermal = (_frame(camera, getattr(pair, camera)) for camera in CAMERAS)
    if isinstance(visible, StreamProblem):
        return visible
    if isinstance(thermal, StreamProblem):
        return thermal
    waited_ms = _waited_ns(pair) / 1e6
    together = FramePair(visible, thermal, pair.skew_ns, waited_ms)
    return DecodedPair(together, (time.perf_counter() - start) * 1e3, waited_ms, messages.time_resets)


def _waited_ns(pair: Pair[PairableMessage]) -> int:
    arrivals = pair.visible.arrival_ns, pair.thermal.arrival_ns
    if arrivals[0] is None or arrivals[1] is None:
        return pair.sync_wait_ns
    return abs(arrivals[0] - arrivals[1])


def _frame(camera: Camera, arrival: PairableMessage) -> Frame | StreamProblem:
    try:
        image = arrival.codec.decode(arrival.message)
    except ValueError as error:
        return StreamProblem(f"invalid_{camera}", f"{camera} image of stamp {arrival.stamp_ns}: {error}")
    return Frame(image, arrival.stamp_ns, arrival.message.header.frame_id)
