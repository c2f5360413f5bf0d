"""Evaluate a bag: the run-time pipeline without DDS over every pair."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from vi_fusion_ros.bags.replay import Replay
from vi_fusion_ros.bags.source import BagError, BagSource
from vi_fusion_ros.evaluation.streams.bag_checkpoint import EVERY, BagCheckpoint
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
    checkpoint: BagCheckpoint | None = None,
) -> StreamEvaluation:
    """Fuse every pair of a bag, once.

    Args:
        source: the bag.
        replay: of that bag; its account tells what could not be used.
        evaluator: takes the pairs.
        output: takes the results.
        progress: show a bar, on a terminal.
        watch: called with each result too.
        checkpoint: of these parts; pairs that it has are not fused again.

    Raises:
        BagError: the bag has no pair that can be used; one sentence that says what it has.
    """
    start, done = time.perf_counter(), 0
    bar = None if progress else True  # None: on a terminal
    before, failed = (0, {}) if checkpoint is None else (checkpoint.done, checkpoint.failed)
    for decoded in tqdm(replay.pairs(), "bag", replay.expected_pairs, unit="pair", disable=bar):
        done += 1
        if done > before:
            if checkpoint is not None and done > before + 1 and (done - 1) % EVERY == 0:
                checkpoint.save(done - 1, time.perf_counter() - start, output)
            try:
                result = evaluator.take(decoded)
            except ValueError as error:
                failed[done] = f"pair of stamp {decoded.pair.reference.stamp_ns}: {error}"
            else:
                if output is not None:
                    output.write(result)
                if watch is not None:
                    watch(result)
        elif done == before:
            start = time.perf_counter()  # what was fused before has its time already
        if done in failed:
            replay.pair_stream.note(StreamProblem("failed", failed[done]))
    seconds = time.perf_counter() - start
    if checkpoint is not None and done > before:
        checkpoint.save(done, seconds, output)
    evaluator.evaluation.wall_s = seconds + (0.0 if checkpoint is None else checkpoint.wall_s)
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
