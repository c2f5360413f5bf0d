"""Explain the pipeline's answers for a registered pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.engines.load import load_engine
from vi_fusion_ros.explain.differentiable import Floats, load_classifier, network_inputs
from vi_fusion_ros.explain.maps import Saliency, class_activation, saliency
from vi_fusion_ros.explain.scores import Answer, agreement, contributions, deletion_and_insertion, random_order
from vi_fusion_ros.pipeline import build_pipeline
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.thermal import ToneMapper
from vi_fusion_ros.training.datasets.base import Box
from vi_fusion_ros.types import FramePair, FusionResult, Image, Mode


@dataclass(frozen=True, eq=False)
class LabelExplanation:
    """One label of one pair.

    Attributes:
        label: its name.
        probability: of presence, 0 to 1.
        activation: (H, W) class activation map.
        saliency: (H, W) maps of the two cameras.
        figures: as in the JSON.
    """

    label: str
    probability: float
    activation: Floats
    saliency: Saliency
    figures: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Explanation:
    """One pair.

    Attributes:
        name: of the pair.
        visible: (H, W, 3) uint8 BGR as the network got it.
        thermal: (H, W) uint8, registered.
        result: of the pipeline.
        labels: those that were explained.
        boxes: of the dataset, in pixels of the visible image.
    """

    name: str
    visible: Image
    thermal: Image
    result: FusionResult
    labels: list[LabelExplanation]
    boxes: Sequence[Box] = field(default_factory=tuple)

    def summary(self) -> dict[str, Any]:
        """The pair's part of the JSON."""
        return {
            "name": self.name,
            "thermal_attention": self.result.thermal_attention,
            "probabilities": {score.label: score.probability for score in self.result.scores},
            "labels": {row.label: row.figures for row in self.labels},
        }


class Explainer:
    """Explains pairs by one model.

    Args:
        model: ONNX file of ``vi-fusion export``.
        method: of the saliency; one of ``maps.METHODS``.
        rig: how the cameras lie to each other.

    Raises:
        ValueError: the model cannot be used.
    """

    def __init__(self, model: Path, method: str, rig: Rig | None = None) -> None:
        self._classifier = load_classifier(model)
        self._engine = load_engine(model)
        self._pipeline = build_pipeline(self._engine, rig)
        self._method = method

    @property
    def about(self) -> dict[str, str]:
        """Which model."""
        manifest = self._engine.manifest
        return {"model_id": manifest.model_id, "onnx_sha256": manifest.onnx_sha256}

    def explain(self, name: str, pair: FramePair, boxes: Sequence[Box] = ()) -> Explanation:
        """Explain the labels that the pipeline finds present and those that have a box; else the most probable one.

        Raises:
            ValueError: the pair cannot be fused, or one of its images is missing.
        """
        self._pipeline.reset()
        result = self._pipeline.process(pair)
        visible, thermal = _images(result)
        inputs = network_inputs(visible, thermal, self._engine.manifest.multiple)
        names = [score.label for score in result.scores]
        drawn = {box.label for box in boxes}
        chosen = [k for k, score in enumerate(result.scores) if score.present or score.label in drawn]
        if not chosen:
            chosen = [int(np.argmax([score.probability for score in result.scores]))]
        labels = []
        for k in chosen:
            own = [box for box in boxes if box.label == names[k]]
            labels.append(self._label(k, names[k], inputs, thermal.shape, own))
        return Explanation(name, visible, thermal, result, labels, boxes)

    def _label(
        self, k: int, name: str, inputs: tuple[Floats, Floats], shape: tuple[int, ...], boxes: list[Box]
    ) -> LabelExplanation:
        answer = self._answer(k)
        activation = class_activation(self._classifier, *inputs, k)
        salient = saliency(self._classifier, *inputs, k, self._method)
        inside = np.s_[: shape[0], : shape[1]]
        probability = answer(*inputs)
        figures = {
            "probability": probability,
            "contribution": contributions(answer, *inputs),
            "class_activation": {
                **deletion_and_insertion(answer, *inputs, activation),
                "boxes": agreement(activation[inside], boxes),
            },
            "saliency": {
                **deletion_and_insertion(answer, *inputs, salient.both),
                "boxes": agreement(salient.both[inside], boxes),
                "thermal_share": _share(salient),
            },
            "random": deletion_and_insertion(answer, *inputs, random_order(activation.shape)),
        }
        cut = Saliency(salient.visible[inside], salient.thermal[inside])
        return LabelExplanation(name, probability, activation[inside], cut, figures)

    def _answer(self, k: int) -> Answer:
        manifest = self._engine.manifest

        def answer(visible: Floats, thermal: Floats) -> float:
            logits = self._engine.infer(visible, thermal).logits
            return float(manifest.probabilities(logits, Mode.BOTH)[0, k])

        return answer


def _images(result: FusionResult) -> tuple[Image, Image]:
    if result.pair.visible is None or result.thermal_grey is None:
        raise ValueError("one of the two images is missing; expected a pair")
    visible = result.pair.visible.image
    visible = visible if visible.dtype == np.uint8 else ToneMapper()(visible)
    if visible.ndim == 2:
        visible = np.repeat(visible[:, :, None], 3, axis=2)
    return visible, result.thermal_grey


def _share(salient: Saliency) -> float:
    total = float(salient.both.sum())
    return float(salient.thermal.sum()) / total if total else 0.5
