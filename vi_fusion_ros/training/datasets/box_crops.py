"""Object crops cut from the boxes of a dataset of frames."""

from __future__ import annotations

from vi_fusion_ros.training.datasets.base import Box, DatasetError, PairDataset, Sample
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.types import Image

SMALLEST = 12.0
"""Pixels of the longer side of a box, below which it is left out."""


class BoxCrops(PairDataset):
    """One sample per box of registered frames; ``order`` and illumination are those of the frame.

    Args:
        frames: where the boxes are. Frames without boxes give nothing.
    """

    def __init__(self, frames: PairDataset) -> None:
        super().__init__(frames.root, f"{frames.name} boxes", problems=list(frames.problems))
        self._frames = frames
        self._cut: dict[str, tuple[Sample, Box]] = {}
        self._held: tuple[Sample, tuple[Image, Image]] | None = None
        for frame in frames.samples:
            for number, box in enumerate(frame.boxes if frame.registered else ()):
                if max(box.x1 - box.x0, box.y1 - box.y0) >= SMALLEST:
                    self._add(frame, box, f"{frame.name}#{number}")

    def _add(self, frame: Sample, box: Box, name: str) -> None:
        self._cut[name] = frame, box
        only = frozenset({box.label})
        light, order = frame.illumination, frame.order
        self.samples.append(Sample(name, frame.visible, frame.thermal, only, frozenset(LABELS), (), light, order))

    def decode(self, sample: Sample) -> tuple[Image, Image]:
        """The pixels of the box, cut off at the border of the frame."""
        frame, box = self._cut[sample.name]
        if self._held is None or self._held[0] is not frame:
            self._held = frame, self._frames.read(frame)
        visible, thermal = self._held[1]
        height, width = thermal.shape[:2]
        rows = slice(max(round(box.y0), 0), min(round(box.y1), height))
        columns = slice(max(round(box.x0), 0), min(round(box.x1), width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise DatasetError(f"{frame.visible}: a box of {box.label} lies outside; expected it in {width}×{height}")
        return visible[rows, columns], thermal[rows, columns]
