"""The pairs of a bag: read, paired and decoded ahead of who takes them, every pair once, the same in every run.

A bag is read twice: for its stamps, and then for the images in the order of these.
"""

from __future__ import annotations

import array
import heapq
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.read_ahead import ReadAhead
from vi_fusion_ros.bags.source import BagError, BagSource
from vi_fusion_ros.bags.stamp_order import NO_STAMP, Integers, by_rank, most_held, ranks_by_stamp
from vi_fusion_ros.bags.storage import Record
from vi_fusion_ros.images.encodings import ImageError
from vi_fusion_ros.images.wire_format import STAMP_SIZE, read_stamp
from vi_fusion_ros.sync.pair_stream import POLICY, DecodedPair, MessagePair, PairStream, StreamProblem, decoded
from vi_fusion_ros.sync.pairing import NearestPairing
from vi_fusion_ros.sync.stamp_source import StampSource
from vi_fusion_ros.sync.stamped_image import Codec
from vi_fusion_ros.sync.stamps import StampClock
from vi_fusion_ros.types import CAMERAS, Camera

_AHEAD = 8
_MOST_HELD = 16  # images of which a few may be large
_DECODERS = min(os.cpu_count() or 1, 4)  # OpenCV decodes without the interpreter's lock


class Replay:
    """Plays the two image topics of a bag through the node's pairing, in the order of their stamps.

    Pairs are formed by stamp alone: the order and the delay with which messages were recorded make no difference.

    Args:
        source: the bag.
        visible_topic: of Image or CompressedImage messages.
        thermal_topic: the same of the thermal camera.
        codecs: by message type; of video those of ``stream_codecs``.
        rig_offset_ns: from the rig file, added to the thermal stamps, as the node does.
        stamps: where they come from, by camera, as the node does it; log times are the arrivals. None: the headers.

    Attributes:
        pair_stream: the account of all messages; complete when the pairs are.

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
        stamps: Mapping[Camera, StampSource] | None = None,
    ) -> None:
        if visible_topic == thermal_topic:
            raise BagError(f"visible and thermal topic are both {visible_topic}; expected two topics")
        self._source = source
        self._topics: dict[str, Camera] = {visible_topic: "visible", thermal_topic: "thermal"}
        self._types = {topic: _image_type(source, topic, codecs) for topic in self._topics}
        self._codecs = codecs
        self._rig_offset_ns = rig_offset_ns
        others = {camera: source for camera, source in (stamps or {}).items() if source.kind != "header"}
        self._stamp_sources = others
        self.pair_stream = PairStream(NearestPairing(replace(POLICY, thermal_offset_ns=rig_offset_ns)))

    @property
    def expected_pairs(self) -> int:
        """As many as the slower camera has messages, as far as the bag knows; at least 1."""
        return max(min(self._source.counts.get(topic, 0) for topic in self._topics), 1)

    def pairs(self) -> Iterator[DecodedPair]:
        """Every pair of the bag that can be decoded, in order; a thread reads ahead, more decode what is compressed.

        It may be dropped half read; the threads then end by themselves.
        """
        if any(kind.endswith("CompressedImage") for kind in self._types.values()):
            events = ReadAhead(self._decoding(), _AHEAD)
            yield from self._decoded(event.result() if isinstance(event, Future) else event for event in events)
        else:
            yield from self._decoded(map(_decode_here, ReadAhead(self._events(), _AHEAD)))

    def message_pairs(self) -> Iterator[MessagePair]:
        """Every pair, not decoded, in order."""
        for event in self._events():
            if isinstance(event, StreamProblem):
                self.pair_stream.note(event)
            else:
                yield event

    def _decoded(self, outcomes: Iterable[DecodedPair | StreamProblem]) -> Iterator[DecodedPair]:
        for outcome in outcomes:
            if isinstance(outcome, StreamProblem):
                self.pair_stream.note(outcome)  # here, in the order of the bag
            else:
                yield outcome

    def _decoding(self) -> Generator[Future[DecodedPair | StreamProblem] | StreamProblem, None, None]:
        with ThreadPoolExecutor(_DECODERS, "decode") as decoders:
            for event in self._events():
                yield event if isinstance(event, StreamProblem) else decoders.submit(decoded, event)

    def _events(self) -> Generator[MessagePair | StreamProblem, None, None]:
        clock = StampClock()
        codecs = {topic: _of_topic(self._codecs[kind]) for topic, kind in self._types.items()}
        for record, stamp_ns in self._by_stamp():
            kind = self._types[record.topic]
            codec = codecs[record.topic]
            read = partial(reader_of(kind, codec), record.data)
            where = f"{record.topic} at log time {record.log_ns}"
            camera = self._topics[record.topic]
            outcome = self.pair_stream.add(camera, where, read, codec, clock, record.log_ns, stamp_ns)
            if isinstance(outcome, StreamProblem):
                yield outcome
            else:
                yield from outcome
        yield from self.pair_stream.flush(clock.now_ns)

    def _by_stamp(self) -> Iterator[tuple[Record, int | None]]:
        """The messages of both cameras in the order of their stamps; with these, where headers are not their source."""
        topics, of_topic, ranks, stamps_ns = list(self._topics), *self._ranks()
        if most_held(ranks) <= _MOST_HELD:
            ordered = by_rank(self._source.records(topics), ranks)
        else:  # one camera lags: each is read for itself, for what is between them may not fit into memory
            ordered = heapq.merge(
                *(
                    by_rank(self._source.records([topic]), ranks[of_topic == number])
                    for number, topic in enumerate(topics)
                ),
                key=lambda entry: entry[0],
            )
        others = {topic for topic, camera in self._topics.items() if camera in self._stamp_sources}
        by_rank_ns = np.empty_like(stamps_ns)
        by_rank_ns[ranks] = stamps_ns
        return (
            (record, int(by_rank_ns[rank]) if record.topic in others and by_rank_ns[rank] != NO_STAMP else None)
            for rank, record in ordered
        )

    def _ranks(self) -> tuple[Integers, Integers, Integers]:
        """The number of each message's topic, its rank by stamp, and its stamp, in the order of the bag."""
        numbers = {topic: number for number, topic in enumerate(self._topics)}
        topics, logs_ns, stamps_ns = array.array("q"), array.array("q"), array.array("q")
        for record in self._source.heads(list(self._topics), STAMP_SIZE):
            topics.append(numbers[record.topic])
            logs_ns.append(record.log_ns)
            stamps_ns.append(self._stamp(record))
        of_topic = np.array(topics, np.int64)
        cameras = np.array([CAMERAS.index(camera) for camera in self._topics.values()], np.int64)[of_topic]
        self.pair_stream.recorded_steps_back = sum(
            int((np.diff(known[known != NO_STAMP]) < 0).sum())
            for known in (np.array(stamps_ns, np.int64)[of_topic == number] for number in numbers.values())
        )
        stamps = np.array(stamps_ns, np.int64)
        offsets = np.where((cameras == CAMERAS.index("thermal")) & (stamps != NO_STAMP), self._rig_offset_ns, 0)
        return of_topic, ranks_by_stamp(cameras, np.array(logs_ns, np.int64), stamps + offsets), stamps

    def _stamp(self, record: Record) -> int:
        try:
            stamp_ns = read_stamp(record.data)
        except ImageError:
            return NO_STAMP
        source = self._stamp_sources.get(self._topics[record.topic])
        if source is not None:
            stamp_ns = source.stamp(stamp_ns, record.log_ns)
        return stamp_ns or NO_STAMP


def reader_of(kind: str, codec: Codec) -> Callable[[bytes | memoryview], Any]:
    """What makes a message of its serialised form: the codec's way, or the way of the type's definition."""
    return codec.read or partial(_by_definition, kind)


def _of_topic(codec: Codec) -> Codec:
    return codec if codec.of_topic is None else codec.of_topic()


def _by_definition(kind: str, data: bytes | memoryview) -> Any:
    return typestore().deserialize_cdr(data, kind)


def _decode_here(event: MessagePair | StreamProblem) -> DecodedPair | StreamProblem:
    return event if isinstance(event, StreamProblem) else decoded(event)


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
