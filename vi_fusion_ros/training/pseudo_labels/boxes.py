"""Samples with boxes that a detector found, as far as they agree with what is known about the frames."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.tensors import Pixels
from vi_fusion_ros.training.datasets.base import Box, Sample
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.pseudo_labels.detector import NAME, Detected, Detector, without_doubles

_LOG = logging.getLogger(__name__)

SURE = 0.35
"""Score from which a detection of a label that is known to be in the frame is a box."""

CERTAIN = 0.5
"""The same where nothing is known about the label. On the MSRS training frames that are known to be without a car (36),
a bicycle (73) or a person (16), the detector found none with this score."""

DOUBTFUL = 0.08
"""Score from which a detection says that its place should count neither way."""


def add_boxes(frames: PackedPairs) -> None:
    """Give the samples of both cameras that have no box those of the detector; the detections are kept in the cache.

    Raises:
        ModuleNotFoundError: as for ``Detector``.
    """
    file = frames.path.with_suffix(f".{NAME}.json")
    if not file.exists():
        detector = Detector()
        _LOG.info("looking for objects in %d frames of %s", len(frames), file.stem)
        found = [detections(detector, frames[index]) for index in range(len(frames))]
        part = file.with_suffix(".part")
        part.write_text(json.dumps(found), encoding="utf-8")
        part.replace(file)
    rows = json.loads(file.read_text(encoding="utf-8"))
    frames.samples = [
        with_boxes(sample, [Detected(*row) for row in found])
        if sample.camera == "both" and not sample.boxes
        else sample
        for sample, found in zip(frames.samples, rows, strict=True)
    ]


def detections(detector: Detector, pixels: Pixels) -> list[Detected]:
    """What is seen in the visible image, the thermal one, or the brighter of the two, of a frame (H, W, 4) uint8."""
    visible, thermal = pixels[..., :3], np.repeat(pixels[..., 3:], 3, axis=2)
    images = (visible, thermal, np.maximum(visible, thermal))
    return without_doubles([one for image in images for one in detector(np.ascontiguousarray(image), DOUBTFUL)])


def with_boxes(sample: Sample, found: Sequence[Detected]) -> Sample:
    """A sample with those detections as boxes that its labels do not deny, the doubtful ones ignored.

    The detector misses objects, so the boxes are never complete. Detections of labels that are known to be absent are
    wrong, and left out. A label that nothing was known about counts as present where the detector is certain.
    """
    boxes, ignored = [], []
    for one in found:
        box = Box(one.label, one.x0, one.y0, one.x1, one.y1)
        denied = one.label in sample.known - sample.present
        needed = SURE if one.label in sample.present else CERTAIN
        if one.label in LABELS and not denied and one.score >= needed:
            boxes.append(box)
        elif not denied:
            ignored.append(box)
    shown = frozenset(box.label for box in boxes)
    return replace(
        sample,
        present=sample.present | shown,
        known=sample.known | shown,
        boxes=tuple(boxes),
        ignored=(*sample.ignored, *ignored),
        complete=sample.complete and not boxes,
    )
