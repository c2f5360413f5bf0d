"""What each camera contributes to the presence of each label: the result with both beside those with one left out."""

from __future__ import annotations

from dataclasses import dataclass

from vi_fusion_ros.pipeline import FusionPipeline
from vi_fusion_ros.types import FusionResult


@dataclass(frozen=True)
class Contribution:
    """Of one label.

    Attributes:
        label: of the manifest.
        probability: with both cameras, calibrated, 0 to 1.
        without_visible: the same from the thermal image alone, calibrated for that mode.
        without_thermal: the same from the visible image alone.
    """

    label: str
    probability: float
    without_visible: float
    without_thermal: float

    @property
    def visible(self) -> float:
        """What the visible image adds, -1 to 1; below 0 where it speaks against the label."""
        return self.probability - self.without_visible

    @property
    def thermal(self) -> float:
        """What the thermal image adds, -1 to 1."""
        return self.probability - self.without_thermal


def contributions(result: FusionResult, pipeline: FusionPipeline) -> tuple[Contribution, ...]:
    """Leave out one camera after the other; two runs of the network.

    Args:
        result: made from both cameras.
        pipeline: with the model of the result, without registration: it gets the images as the network saw them.

    Returns:
        One a label, in the order of the manifest.

    Raises:
        ValueError: a camera is missing in the result.
    """
    visible, thermal = result.pair.visible, result.thermal_grey
    if visible is None or thermal is None:
        raise ValueError("a result of one camera says nothing of what the other contributes; expected both")
    without_thermal = pipeline(visible.image, None).probabilities
    without_visible = pipeline(None, thermal).probabilities
    return tuple(
        Contribution(score.label, score.probability, without_visible[score.label], without_thermal[score.label])
        for score in result.scores
    )
