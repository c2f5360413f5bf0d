"""The manifest beside a model (``default.onnx`` and ``default.json``): what it is, and how its outputs are read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vi_fusion_ros.frames import Mode

MODES = {Mode.BOTH: "both", Mode.VISIBLE_ONLY: "visible_only", Mode.THERMAL_ONLY: "thermal_only"}
"""The manifest's names of the modes."""


class ManifestError(ValueError):
    """A manifest that is missing, broken or not of the model beside it; the text is one sentence."""


@dataclass(frozen=True)
class Manifest:
    """What the run time needs to know of a model, and who made it from what.

    Attributes:
        model_id: name of the model, unique for its weights.
        onnx_sha256: of the ONNX file, hexadecimal.
        labels: classes of ``logits``, in order.
        thresholds: probability from which a label counts as present, by label, 0 to 1.
        illumination: classes of ``illumination``, in order.
        multiple: height and width of the inputs are multiples of this, pixels.
        temperature: what logits are divided by before the sigmoid, by mode name.
        precision: of the weights, for example ``fp32``.
        training: data, splits, configuration.
        metrics: measured on held-out data.
    """

    model_id: str
    onnx_sha256: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    illumination: tuple[str, ...]
    multiple: int
    temperature: Mapping[str, float]
    precision: str = "fp32"
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read and check a manifest.

        Raises:
            ManifestError: one sentence about the first thing wrong with it.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ManifestError(
                f"{path} is missing; a model needs its manifest beside it (vi-fusion export writes both)"
            ) from error
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path} is not a readable JSON file: {error}") from error
        if not isinstance(content, dict):
            raise ManifestError(f"{path} is not a manifest; expected a JSON object")
        try:
            return cls._of(content)
        except KeyError as error:
            raise ManifestError(f"{path} lacks the key {error}; export the model again") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ManifestError(f"{path}: {error}") from error

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Manifest:
        labels = _names(content, "labels")
        thresholds = {label: float(content["thresholds"][label]) for label in labels}
        for label, threshold in thresholds.items():
            if not 0 <= threshold <= 1:
                raise ValueError(f"the threshold of {label} is {threshold}; expected 0 to 1")
        temperature = {mode: float(content["temperature"][mode]) for mode in MODES.values()}
        for mode, value in temperature.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"the temperature of mode {mode} is {value}; expected a positive number")
        multiple = content["input"]["multiple"]
        if not isinstance(multiple, int) or multiple < 1:
            raise ValueError(f"input.multiple is {multiple!r}; expected a whole number of at least 1")
        return cls(
            model_id=str(content["model_id"]),
            onnx_sha256=str(content["onnx_sha256"]),
            labels=labels,
            thresholds=thresholds,
            illumination=_names(content, "illumination"),
            multiple=multiple,
            temperature=temperature,
            precision=str(content.get("precision", "fp32")),
            training=content.get("training", {}),
            metrics=content.get("metrics", {}),
        )

    def require_match(self, model: Path, content: bytes) -> None:
        """Check that ``content``, read from ``model``, is the model that this manifest describes.

        Raises:
            ManifestError: naming both hashes.
        """
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.onnx_sha256:
            raise ManifestError(
                f"{model} (sha256 {digest[:12]}) is not the model that its manifest describes (sha256 "
                f"{self.onnx_sha256[:12]}, {self.model_id}); put the matching files together or export again"
            )


def _names(content: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = content[key]
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"{key} is {names!r}; expected a list of names")
    if len(set(names)) < len(names):
        raise ValueError(f"{key} has a name twice: {', '.join(names)}")
    return tuple(names)
