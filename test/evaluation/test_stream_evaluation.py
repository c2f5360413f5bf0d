"""A stream that does not end is evaluated in bounded memory."""

import numpy as np

from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluation
from vi_fusion_ros.sync.pair_stream import DecodedPair
from vi_fusion_ros.sync.stamps import StampTrack
from vi_fusion_ros.types import Frame, FramePair, FusionResult, LabelScore


def result(number):
    image = np.zeros((4, 4, 3), np.uint8)
    pair = FramePair(Frame(image, number), Frame(image[..., 0], number))
    scores = (LabelScore("car", number / 1000, False),)
    attention = np.full((4, 4), 0.5, np.float32)
    times = {"register": 1.0, "infer": 1.0, "compose": 1.0}
    return FusionResult(pair, image, attention, None, None, 1.0, scores, "day", 1.0, times)


def test_rows_are_thinned_evenly_and_all_pairs_are_counted():
    evaluation = StreamEvaluation(("car",), most_rows=8)
    for number in range(1000):
        made = result(number)
        evaluation.add(DecodedPair(made.pair, 1.0, 0.0, 0), made)
        assert len(evaluation.stamps_ns) < 8
    assert evaluation.pairs == 1000
    assert evaluation.stamps_ns == [evaluation.every * n for n in range(len(evaluation.stamps_ns))]
    assert len(evaluation.stamps_ns) >= 4
    columns = (evaluation.probabilities, evaluation.present, evaluation.objects, evaluation.latency_ms["total"])
    assert {len(column) for column in columns} == {len(evaluation.stamps_ns)}


def test_without_a_bound_every_pair_has_its_row():
    evaluation = StreamEvaluation(("car",))
    for number in range(100):
        made = result(number)
        evaluation.add(DecodedPair(made.pair, 1.0, 0.0, 0), made)
    assert evaluation.stamps_ns == list(range(100))
    assert evaluation.every == 1


def test_stamps_are_followed_in_bounded_memory():
    track = StampTrack()
    for number in range(100_000):
        track.take(number * 33_000_000)
    track.take(0)
    assert (track.count, track.steps_back) == (100_001, 1)
    assert track.rate_hz == 1e9 / 33_000_000
    assert len(track._gaps) <= 4096
