"""Whether a built engine computes what ONNX Runtime computes from the same model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import Engine, EngineOutput, Tensor, to_unit
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.types import Mode

BytePair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""(1, 3, H, W) RGB and (1, 1, H, W), uint8."""


@dataclass(frozen=True)
class Tolerance:
    """What an engine may differ by.

    Attributes:
        largest: absolute difference of any pixel of ``fused``, 0 to 1.
        psnr_db: of ``fused``, at least this on each pair.
        probability: absolute difference of an object's probability at any place.
        iou: of the boxes of an object's place, at least this.
    """

    largest: float
    psnr_db: float
    probability: float
    iou: float


_FLOAT = Tolerance(1e-2, 50.0, 0.05, 0.9)
# An int8 engine is compared with ONNX Runtime on the same quantised graph: a value on the edge of two int8 steps may
# fall to either side.
TOLERANCES = {"fp32": _FLOAT, "fp16": _FLOAT, "int8": Tolerance(1e-1, 35.0, 0.25, 0.7)}


@dataclass(frozen=True)
class Verification:
    """How an engine compared.

    Attributes:
        verified: whether every pair was within the tolerance and had the same labels.
        real_pairs: pairs of camera images.
        random_pairs: pairs of noise and of drawn scenes.
        largest: absolute difference of ``fused``, 0 to 1, the largest of all pixels.
        psnr_db: of ``fused``, the smallest of all pairs.
        same_labels: pairs with the same labels present and the same illumination.
        reason: what was out of tolerance; empty where nothing was.
        probability: absolute difference of an object's probability, the largest of all places; None where the model has
            no objects.
        iou: of the two boxes where there is an object, the smallest of all places; None where there was none.
    """

    verified: bool
    real_pairs: int
    random_pairs: int
    largest: float
    psnr_db: float
    same_labels: int
    reason: str = ""
    probability: float | None = None
    iou: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def verify(
    engine: Engine, reference: Engine, real: Iterable[BytePair], random: Iterable[BytePair], precision: str
) -> Verification:
    """Compare two engines.

    Args:
        engine: to be verified.
        reference: ONNX Runtime with the same model.
        real: pairs of camera images.
        random: others.
        precision: of ``engine``; chooses the tolerance.
    """
    counts, largest, psnr, same = [0, 0], 0.0, float("inf"), 0
    apart: list[float] = []
    overlaps: list[float] = []
    for kind, pairs in enumerate((real, random)):
        for visible, thermal in pairs:
            got, expected = engine.infer(visible, thermal), reference.infer(to_unit(visible), to_unit(thermal))
            difference = to_unit(got.fused) - to_unit(expected.fused)
            largest = max(largest, _largest(difference))
            psnr = min(psnr, _psnr(difference))
            same += labels(got, engine.manifest) == labels(expected, reference.manifest)
            if got.objects is not None and expected.objects is not None:
                difference_of_objects, overlap = _compare_objects(
                    got.objects[0], expected.objects[0], reference.manifest
                )
                apart.append(difference_of_objects)
                overlaps += overlap
            counts[kind] += 1
    tolerance = TOLERANCES[precision]
    reason = _reason(tolerance, sum(counts), largest, psnr, same) or _objects_reason(tolerance, apart, overlaps)
    return Verification(
        not reason,
        counts[0],
        counts[1],
        largest,
        min(psnr, 999.0),
        same,
        reason,
        max(apart, default=None),
        min(overlaps, default=None),
    )


def labels(output: EngineOutput, manifest: Manifest) -> tuple[tuple[bool, ...], int]:
    """Which labels are present with both cameras, and the illumination's index."""
    calibration = manifest.calibration(Mode.BOTH)
    present = calibration.probabilities(output.logits[0]) >= calibration.thresholds
    return tuple(present.tolist()), int(output.illumination.argmax())


def noise_pairs(size: tuple[int, int], count: int = 3) -> list[BytePair]:
    """Pairs of even noise, reproducible.

    Args:
        size: width and height, pixels.
        count: how many.
    """
    rng, (width, height) = np.random.default_rng(0), size
    return [
        (
            rng.integers(0, 256, (1, 3, height, width), np.uint8),
            rng.integers(0, 256, (1, 1, height, width), np.uint8),
        )
        for _ in range(count)
    ]


def _compare_objects(got: Tensor, expected: Tensor, manifest: Manifest) -> tuple[float, list[float]]:
    """Largest difference of a probability, and the smallest IoU of the boxes at the places where there is an object.

    Args:
        got: (5 C, h, w).
        expected: likewise.
        manifest: of the model that gave ``expected``.
    """
    count, calibration = len(manifest.labels), manifest.object_calibration
    left, right = (calibration.probabilities(np.moveaxis(objects[:count], 0, 2)) for objects in (got, expected))
    row, column, label = np.nonzero(right >= calibration.thresholds)
    sides = [
        np.stack([objects[count + 4 * label + side, row, column] for side in range(4)]) for objects in (got, expected)
    ]
    # Both boxes hold the middle of their place.
    shared, *areas = (_area(box) for box in (np.minimum(*sides), *sides))
    overlap = shared / np.maximum(areas[0] + areas[1] - shared, 1e-6)
    return _largest(left - right), [float(np.nan_to_num(overlap).min())] if len(label) else []


def _area(sides: Tensor) -> Tensor:
    left, up, right, down = sides
    return np.asarray((left + right) * (up + down))


def _largest(difference: npt.NDArray[np.floating]) -> float:
    value = float(np.abs(difference).max())
    return value if np.isfinite(value) else float("inf")


def _psnr(difference: npt.NDArray[np.float32]) -> float:
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    if not np.isfinite(error):
        return float("-inf")
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def _objects_reason(tolerance: Tolerance, apart: list[float], overlaps: list[float]) -> str:
    if apart and not max(apart) <= tolerance.probability:
        return f"an object's probability differs by {max(apart):.3g}; at most {tolerance.probability:g} is allowed"
    if overlaps and not min(overlaps) >= tolerance.iou:
        return f"the boxes of an object have an IoU of {min(overlaps):.2f}; at least {tolerance.iou:g} is required"
    return ""


def _reason(tolerance: Tolerance, pairs: int, largest: float, psnr: float, same: int) -> str:
    if pairs == 0:
        return "there was no pair to compare"
    if not largest <= tolerance.largest:
        return f"fused differs by {largest:.3g}; at most {tolerance.largest:g} is allowed"
    if not psnr >= tolerance.psnr_db:
        return f"fused has a PSNR of {psnr:.1f} dB; at least {tolerance.psnr_db:g} is required"
    if same < pairs:
        return f"the labels differ in {pairs - same} of {pairs} pairs"
    return ""
