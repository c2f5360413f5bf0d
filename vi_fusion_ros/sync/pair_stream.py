"""Image messages of two cameras to pairs, and an account of every message. Used for bags and for live topics alike."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vi_fusion_ros.sync.pairing import NearestPairing, Pair, Pairing, PairingPolicy
from vi_fusion_ros.sync.stamped_image import Codec, StampedImage
from vi_fusion_ros.sync.stamps import StampClock, StampTrack
from vi_fusion_ros.types import CAMERAS, Camera, Frame, FramePair

POLICY = PairingPolicy(max_skew_ns=40_000_000, max_wait_ns=50_000_000)
"""The fusion node's defaults."""

_MOST_PROBLEMS = 100

MessagePair = Pair[StampedImage]
"""Two messages of one moment, not yet decoded."""


class StreamProblem(NamedTuple):
    """Something that could not be used.

    Attributes:
        kind: under which it is counted: ``invalid_visible``, ``no_stamp_visible``, the same of thermal, or ``failed``.
        sentence: for people.
    """

    kind: str
    sentence: str


@dataclass(frozen=True, eq=False)
class DecodedPair:
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


class PairStream:
    """Checks and pairs messages as the fusion node does, and keeps account of them. Not thread-safe.

    Args:
        pairing: fresh; None: that of the node's defaults.

    Attributes:
        pairing: counts pairs, drops by reason and jumps back in time.
        received: messages by camera.
        invalid: problems by kind.
        problems: their sentences, the first hundred.
        stamps: by camera, of the messages that can be paired.
        recorded_steps_back: how often stamps of a camera step back in the order in which a bag was recorded.
    """

    def __init__(self, pairing: Pairing[StampedImage] | None = None) -> None:
        self.pairing: Pairing[StampedImage] = pairing or NearestPairing(POLICY)
        self.received: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stamps = {camera: StampTrack() for camera in CAMERAS}
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
        arrival_ns: int = 0,
        stamp_ns: int | None = None,
    ) -> list[MessagePair] | StreamProblem:
        """Take a message; return the pairs that it settles, or why it cannot be used. Notes nothing.

        Args:
            camera: that it comes from.
            where: names the message in sentences.
            read: gives the message; may raise anything.
            codec: of the message's type.
            now_ns: of its arrival, on a clock that never steps back; or a clock that its stamp sets.
            arrival_ns: when it arrived, where the clock is set by stamps; else 0.
            stamp_ns: in place of the message's, where stamps have another source.
        """
        self.received[camera] += 1
        try:
            image = StampedImage.checked(camera, read(), codec, arrival_ns)
        except Exception as error:  # damaged data makes a deserialiser raise whatever it stumbles over
            return StreamProblem(f"invalid_{camera}", f"{where}: {error}")
        if stamp_ns is not None:
            image = replace(image, stamp_ns=stamp_ns)
        if image.stamp_ns == 0:
            return StreamProblem(f"no_stamp_{camera}", f"{where}: stamp zero; expected the time of acquisition")
        self.stamps[camera].take(image.stamp_ns)
        now_ns = now_ns.at(camera, image.stamp_ns) if isinstance(now_ns, StampClock) else now_ns
        return self.pairing.add(camera, image, image.stamp_ns, now_ns)

    def flush(self, now_ns: int) -> list[MessagePair]:
        """The pairs that are left at the end."""
        return self.pairing.flush(now_ns)

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


def decoded(pair: MessagePair) -> DecodedPair | StreamProblem:
    """Decode both images of a pair, or say why it cannot be done."""
    start = time.perf_counter()
    visible, thermal = _frame(pair.visible), _frame(pair.thermal)
    if isinstance(visible, StreamProblem):
        return visible
    if isinstance(thermal, StreamProblem):
        return thermal
    waited_ms = _waited_ns(pair) / 1e6
    together = FramePair(visible, thermal, pair.skew_ns, waited_ms)
    return DecodedPair(together, (time.perf_counter() - start) * 1e3, waited_ms, pair.time_resets)


def _waited_ns(pair: MessagePair) -> int:
    arrivals = pair.visible.arrival_ns, pair.thermal.arrival_ns
    return abs(arrivals[0] - arrivals[1]) if all(arrivals) else pair.sync_wait_ns


def _frame(image: StampedImage) -> Frame | StreamProblem:
    try:
        return image.decode()
    except ValueError as error:
        return StreamProblem(f"invalid_{image.camera}", f"{image.camera} image of stamp {image.stamp_ns}: {error}")
