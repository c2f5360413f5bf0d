"""The pairs of a bag: read, paired and decoded ahead of who takes them, every pair once, the same in every run."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.source import BagError, BagSource, Record
from vi_fusion_ros.frames import Frame, FramePair, Image
from vi_fusion_ros.pairing import NearestPairing, Pair, PairingPolicy

T = TypeVar("T")

POLICY = PairingPolicy(max_skew_ns=40_000_000, max_wait_ns=50_000_000)
"""The fusion node's defaults."""

_AHEAD = 6
_MOST_PROBLEMS = 100
_END: Any = object()


class Codec(NamedTuple):
    """How one type of image message is read.

    Attributes:
        check: raises ValueError where the message contradicts itself; looks at no pixel.
        decode: the message's pixels; raises ValueError where it cannot.
    """

    check: Callable[[Any], None]
    decode: Callable[[Any], Image]


class DecodedPair(NamedTuple):
    """A pair, how long decoding it took, and how long its first frame waited, in the bag's own time, milliseconds."""

    pair: FramePair
    decode_ms: float
    sync_wait_ms: float


@dataclass(frozen=True, eq=False)
class _Arrival:
    message: Any
    codec: Codec
    stamp_ns: int


class Replay:
    """Plays the two image topics of a bag through the node's pairing, on the bag's clock.

    Args:
        source: the bag.
        visible_topic: of Image or CompressedImage messages.
        thermal_topic: the same of the thermal camera.
        codecs: by message type.
        rig_offset_ns: from the rig file, added to the thermal stamps, as the node does.

    Raises:
        BagError: a topic is missing, empty or of another type.
    """

    def __init__(
        self,
        source: BagSource,
        visible_topic: str,
        thermal_topic: str,
        codecs: Mapping[str, Codec],
        rig_offset_ns: int = 0,
    ) -> None:
        if visible_topic == thermal_topic:
            raise BagError(f"visible and thermal topic are both {visible_topic}; expected two topics")
        self._source, self._topics = source, {visible_topic: "visible", thermal_topic: "thermal"}
        self._types = {topic: _image_type(source, topic, codecs) for topic in self._topics}
        self._codecs = codecs
        self.pairing: NearestPairing[_Arrival] = NearestPairing(replace(POLICY, thermal_offset_ns=rig_offset_ns))
        self.received: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stamps: dict[str, list[int]] = {"visible": [], "thermal": []}

    @property
    def expected_pairs(self) -> int:
        """As many as the slower camera has messages, as far as the bag knows; at least 1."""
        return max(min(self._source.counts.get(topic, 0) for topic in self._topics), 1)

    def pairs(self) -> Iterator[DecodedPair]:
        """Every pair of the bag that can be decoded, prepared ahead by a thread."""
        return _ahead(self._decoded(), _AHEAD)

    def note(self, kind: str, sentence: str) -> None:
        """Count something that could not be used and keep the sentence."""
        self.invalid[kind] += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(sentence)

    def _decoded(self) -> Iterator[DecodedPair]:
        for pair in self._paired():
            start = time.perf_counter()
            frames = [self._frame(camera, getattr(pair, camera)) for camera in ("visible", "thermal")]
            if frames[0] is not None and frames[1] is not None:
                waited_ms = pair.sync_wait_ns / 1e6
                together = FramePair(frames[0], frames[1], pair.skew_ns, waited_ms)
                yield DecodedPair(together, (time.perf_counter() - start) * 1e3, waited_ms)

    def _frame(self, camera: str, arrival: _Arrival) -> Frame | None:
        try:
            image = arrival.codec.decode(arrival.message)
        except ValueError as error:
            self.note(f"invalid_{camera}", f"{camera} image of stamp {arrival.stamp_ns}: {error}")
            return None
        return Frame(image, arrival.stamp_ns, arrival.message.header.frame_id)

    def _paired(self) -> Iterator[Pair[_Arrival]]:
        now_ns = 0
        for record in self._source.records(list(self._topics)):
            now_ns = max(now_ns, record.log_ns)  # a clock that steps back would undo waits
            camera = self._topics[record.topic]
            self.received[camera] += 1
            arrival = self._arrival(camera, record)
            if arrival is None:
                continue
            self.stamps[camera].append(arrival.stamp_ns)
            add = self.pairing.add_visible if camera == "visible" else self.pairing.add_thermal
            yield from add(arrival, arrival.stamp_ns, now_ns)
        yield from self.pairing.flush(now_ns)

    def _arrival(self, camera: str, record: Record) -> _Arrival | None:
        kind = self._types[record.topic]
        codec = self._codecs[kind]
        try:
            message: Any = typestore().deserialize_cdr(record.data, kind)
            codec.check(message)
        except Exception as error:  # damaged data makes the deserialiser raise whatever it stumbles over
            self.note(f"invalid_{camera}", f"{record.topic} at log time {record.log_ns}: {error}")
            return None
        stamp_ns = int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)
        if stamp_ns == 0:
            sentence = f"{record.topic} at log time {record.log_ns}: stamp zero; expected the time of acquisition"
            self.note(f"no_stamp_{camera}", sentence)
            return None
        return _Arrival(message, codec, stamp_ns)


def _image_type(source: BagSource, topic: str, codecs: Mapping[str, Codec]) -> str:
    kind = source.topics.get(topic)
    if kind is None:
        images = sorted(name for name, type_ in source.topics.items() if type_ in codecs)
        raise BagError(f"the bag has no topic {topic}; its image topics are: {', '.join(images) or 'none'}")
    if kind not in codecs:
        raise BagError(f"topic {topic} is of type {kind}; expected {' or '.join(codecs)}")
    if not source.counts.get(topic, 0):
        raise BagError(f"topic {topic} holds no message; expected images")
    return kind


def _ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """``items``, made by a thread up to ``depth`` ahead; what it raises is raised here."""
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = deque(pool.submit(next, items, _END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, items, _END))
            yield item
