"""Image messages of two cameras to pairs, and an account of every message. Used for bags and for live topics alike."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vi_fusion_ros.frames import Frame, FramePair, Image
from vi_fusion_ros.health import CAMERAS, Camera
from vi_fusion_ros.pairing import NearestPairing, Pair, PairingPolicy

POLICY = PairingPolicy(max_skew_ns=40_000_000, max_wait_ns=50_000_000)
"""The fusion node's defaults."""

_MOST_PROBLEMS = 100


class Codec(NamedTuple):
    """How one type of image message is read.

    Attributes:
        check: raises ValueError where the message contradicts itself; looks at no pixel.
        decode: the message's pixels; raises ValueError where it cannot.
    """

    check: Callable[[Any], None]
    decode: Callable[[Any], Image]


class Problem(NamedTuple):
    """Something that could not be used.

    Attributes:
        kind: under which it is counted: ``invalid_visible``, ``no_stamp_visible``, the same of thermal, or ``failed``.
        sentence: for people.
    """

    kind: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Arrival:
    """An image message that may be paired.

    Attributes:
        message: shaped like ``sensor_msgs/Image`` or ``CompressedImage``.
        codec: reads it.
        stamp_ns: its stamp.
    """

    message: Any
    codec: Codec
    stamp_ns: int


class MessagePair(NamedTuple):
    """Two messages of one moment, not yet decoded.

    Attributes:
        pair: of the messages.
        time_resets: how often time had jumped back when it was formed.
    """

    pair: Pair[Arrival]
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


class Intake:
    """Checks and pairs messages as the fusion node does, and keeps account of them. Not thread-safe.

    Args:
        rig_offset_ns: from the rig file, added to the thermal stamps.

    Attributes:
        pairing: counts pairs, drops by reason and jumps back in time.
        received: messages by camera.
        invalid: problems by kind.
        problems: their sentences, the first hundred.
        stamps: by camera, nanoseconds, of the messages that can be paired.
    """

    def __init__(self, rig_offset_ns: int = 0) -> None:
        self.pairing: NearestPairing[Arrival] = NearestPairing(replace(POLICY, thermal_offset_ns=rig_offset_ns))
        self.received: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stamps: dict[Camera, list[int]] = {camera: [] for camera in CAMERAS}

    def note(self, problem: Problem) -> None:
        """Count a problem and keep its sentence."""
        self.invalid[problem.kind] += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem.sentence)

    def add(
        self, camera: Camera, where: str, read: Callable[[], Any], codec: Codec, now_ns: int
    ) -> list[MessagePair] | Problem:
        """Take a message; return the pairs that it settles, or why it cannot be used. Notes nothing.

        Args:
            camera: that it comes from.
            where: names the message in sentences.
            read: gives the message; may raise anything.
            codec: of the message's type.
            now_ns: of its arrival, on a clock that never steps back.
        """
        self.received[camera] += 1
        try:
            message = read()
            codec.check(message)
        except Exception as error:  # damaged data makes a deserialiser raise whatever it stumbles over
            return Problem(f"invalid_{camera}", f"{where}: {error}")
        stamp_ns = int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
        if stamp_ns == 0:
            return Problem(f"no_stamp_{camera}", f"{where}: stamp zero; expected the time of acquisition")
        self.stamps[camera].append(stamp_ns)
        add = self.pairing.add_visible if camera == "visible" else self.pairing.add_thermal
        resets = self.pairing.time_resets
        pairs = add(Arrival(message, codec, stamp_ns), stamp_ns, now_ns)
        # Where this message jumps back, what it settles is of the time before.
        return [MessagePair(pair, resets) for pair in pairs]

    def poll(self, now_ns: int) -> list[MessagePair]:
        """The pairs whose wait is over."""
        return [MessagePair(pair, self.pairing.time_resets) for pair in self.pairing.poll(now_ns)]

    def flush(self, now_ns: int) -> list[MessagePair]:
        """The pairs that are left at the end."""
        return [MessagePair(pair, self.pairing.time_resets) for pair in self.pairing.flush(now_ns)]


def decoded(messages: MessagePair) -> DecodedPair | Problem:
    """Decode both images of a pair, or say why it cannot be done."""
    pair = messages.pair
    start = time.perf_counter()
    visible, thermal = (_frame(camera, getattr(pair, camera)) for camera in CAMERAS)
    if isinstance(visible, Problem):
        return visible
    if isinstance(thermal, Problem):
        return thermal
    waited_ms = pair.sync_wait_ns / 1e6
    together = FramePair(visible, thermal, pair.skew_ns, waited_ms)
    return DecodedPair(together, (time.perf_counter() - start) * 1e3, waited_ms, messages.time_resets)


def _frame(camera: Camera, arrival: Arrival) -> Frame | Problem:
    try:
        image = arrival.codec.decode(arrival.message)
    except ValueError as error:
        return Problem(f"invalid_{camera}", f"{camera} image of stamp {arrival.stamp_ns}: {error}")
    return Frame(image, arrival.stamp_ns, arrival.message.header.frame_id)
