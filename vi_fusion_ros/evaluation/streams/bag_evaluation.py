"""Evaluate a bag: the run-time pipeline without DDS over every pair."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import BagError, BagSource
from vi_fusion_ros.evaluation.streams.bag_output import ResultBag
from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluation, StreamEvaluator
from vi_fusion_ros.sync.pair_stream import StreamProblem
from vi_fusion_ros.types import FusionResult


def evaluate_bag(
    source: BagSource,
    replay: Replay,
    evaluator: StreamEvaluator,
    output: ResultBag | None,
    progress: bool = False,
    watch: Callable[[FusionResult], None] | None = None,
) -> StreamEvaluation:
    """Fuse every pair of a bag, once.

    Args:
        source: the bag.
        replay: of that bag; its account tells what could not be used.
        evaluator: takes the pairs.
        output: takes the results.
        progress: show a bar, on a terminal.
        watch: called with each result too.

    Raises:
        BagError: the bag has no pair that can be used; one sentence that says what it has.
    """
    start = time.perf_counter()
    bar = None if progress else True  # None: on a terminal
    for decoded in tqdm(replay.pairs(), "bag", replay.expected_pairs, unit="pair", disable=bar):
        try:
            result = evaluator.take(decoded)
        except ValueError as error:
            replay.pair_stream.note(
                StreamProblem("failed", f"pair of stamp {decoded.pair.reference.stamp_ns}: {error}")
            )
            continue
        if output is not None:
            output.write(result)
        if watch is not None:
            watch(result)
    evaluator.evaluation.wall_s = time.perf_counter() - start
    if not evaluator.evaluation.stamps_ns:
        raise BagError(replay.pair_stream.why_nothing(source.broken))
    return evaluator.evaluation


def check_output(path: Path, bag: Path) -> None:
    """Refuse an output that is no ``.mcap`` file or would overwrite the input.

    Raises:
        BagError: one sentence.
    """
    if path.suffix != ".mcap":
        raise BagError(f"{path}: expected an output that ends in .mcap")
    if path.resolve() == bag.resolve() or bag.resolve() in path.resolve().parents:
        raise BagError(f"{path} is the bag that is evaluated, which is never overwritten; name another file")
