"""Whether a built engine computes what ONNX Runtime computes from the same model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import Engine, EngineOutput, to_unit
from vi_fusion_ros.engines.manifest import Manifest

BytePair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""(1, 3, H, W) RGB and (1, 1, H, W), uint8."""


@dataclass(frozen=True)
class Tolerance:
    """What an engine may differ by.

    Attributes:
        largest: absolute difference of any pixel of ``fused``, 0 to 1.
        psnr_db: of ``fused``, at least this on each pair.
    """

    largest: float
    psnr_db: float


# An int8 engine is compared with ONNX Runtime on the same quantised graph: a value on the edge of two int8 steps may
# fall to either side.
TOLERANCES = {"fp32": Tolerance(1e-2, 50.0), "fp16": Tolerance(1e-2, 50.0), "int8": Tolerance(1e-1, 35.0)}


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
    """

    verified: bool
    real_pairs: int
    random_pairs: int
    largest: float
    psnr_db: float
    same_labels: int
    reason: str = ""

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
    for kind, pairs in enumerate((real, random)):
        for visible, thermal in pairs:
            got, expected = engine.infer(visible, thermal), reference.infer(to_unit(visible), to_unit(thermal))
            difference = to_unit(got.fused) - to_unit(expected.fused)
            largest = max(largest, _largest(difference))
            psnr = min(psnr, _psnr(difference))
            same += labels(got, engine.manifest) == labels(expected, reference.manifest)
            counts[kind] += 1
    reason = _reason(TOLERANCES[precision], sum(counts), largest, psnr, same)
    return Verification(not reason, counts[0], counts[1], largest, min(psnr, 999.0), same, reason)


def labels(output: EngineOutput, manifest: Manifest) -> tuple[tuple[bool, ...], int]:
    """Which labels are present with both cameras, and the illumination's index."""
    probability = 1 / (1 + np.exp(-output.logits[0].astype(np.float64) / manifest.temperature["both"]))
    thresholds = [manifest.thresholds[label] for label in manifest.labels]
    return tuple(bool(p >= t) for p, t in zip(probability, thresholds, strict=True)), int(output.illumination.argmax())


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


def _largest(difference: npt.NDArray[np.float32]) -> float:
    value = float(np.abs(difference).max())
    return value if np.isfinite(value) else float("inf")


def _psnr(difference: npt.NDArray[np.float32]) -> float:
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    if not np.isfinite(error):
        return float("-inf")
    return float("inf") if error == 0 else -10 * float(np.log10(error))


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
