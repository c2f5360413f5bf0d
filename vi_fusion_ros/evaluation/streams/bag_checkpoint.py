"""How far the evaluation of a bag is, on disk, so that a process that was killed has not worked for nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

from vi_fusion_ros.evaluation.kept_values import KeptValues, read_value, write_value
from vi_fusion_ros.evaluation.streams.bag_output import ResultBag, piece
from vi_fusion_ros.evaluation.streams.region_temperatures import RegionTemperatures
from vi_fusion_ros.evaluation.streams.stream_evaluation import PairSample, StreamEvaluator

EVERY = 100
"""Pairs from one state on disk to the next."""

_STATE, _METRICS = "state", "metrics"


class BagCheckpoint:
    """The state after so many pairs of a bag; a new one brings the parts to where the last state on disk has them.

    The bag itself is read and decoded again: that is quick, and it gives the account of its messages.

    Args:
        folder: for the state.
        evaluator: fresh.
        temperatures: fresh.
        output: path of the bag of results; None: there is none.

    Attributes:
        done: pairs that were taken before, those that failed included.
        failed: sentences about pairs that could not be fused, by number, from 1.
        wall_s: how long that took.
        pieces: of the bag of results.
    """

    def __init__(
        self, folder: Path, evaluator: StreamEvaluator, temperatures: RegionTemperatures, output: Path | None
    ) -> None:
        self._folder, self._evaluator, self._temperatures = folder, evaluator, temperatures
        self.done, self.wall_s, self.pieces = 0, 0.0, 0
        self.failed: dict[int, str] = {}
        self._saved: set[int] = set()
        try:
            state = read_value(folder / _STATE)
            samples = [_sample(folder, number) for number in state["samples"]]
        except (OSError, EOFError, pickle.UnpicklingError):  # there is none, or somebody took a part away
            return
        if output is not None and not all(piece(output, n).is_file() for n in range(state["pieces"])):
            return
        self.done, self.failed = state["done"], state["failed"]
        self.wall_s, self.pieces = state["wall_s"], state["pieces"]
        self._saved = set(state["samples"])
        evaluator.recall(state["evaluator"], samples)
        temperatures.recall(state["temperatures"])

    def save(self, done: int, seconds: float, output: ResultBag | None) -> None:
        """Write the state, whole or not at all.

        Args:
            done: pairs that were taken.
            seconds: since this process began to take pairs.
            output: the bag of results.
        """
        samples = {sample.number: sample for sample in self._evaluator.evaluation.samples}
        for number in samples.keys() - self._saved:
            write_value(_sample_file(self._folder, number), samples[number])
        state = {
            "done": done,
            "failed": self.failed,
            "wall_s": self.wall_s + seconds,
            "pieces": 0 if output is None else output.cut(),
            "samples": list(samples),
            "evaluator": self._evaluator.memory(),
            "temperatures": self._temperatures.memory(),
        }
        write_value(self._folder / _STATE, state)
        for number in self._saved - samples.keys():
            _sample_file(self._folder, number).unlink(missing_ok=True)
        self._saved = set(samples)

    def metrics(self) -> KeptValues:
        """The fusion metrics of the samples."""
        return KeptValues(self._folder / _METRICS)


def _sample_file(folder: Path, number: int) -> Path:
    return folder / f"sample_{number:08d}"


def _sample(folder: Path, number: int) -> PairSample:
    return PairSample(*read_value(_sample_file(folder, number)))
