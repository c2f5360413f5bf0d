"""What every fusion method is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.networks import open_network

Gray8 = npt.NDArray[np.uint8]
Rule = Callable[..., Gray8]


@dataclass(frozen=True)
class FusionMethod:
    """A method that makes one image of two registered ones.

    Attributes:
        name: as commands and the node's parameter spell it.
        title: for people.
        reference: publication.
        year: of the publication.
        kind: ``pixel``, ``multi-scale``, ``optimisation``, ``sparse``, ``region`` or ``network``.
        faithful: ``published``; ``published rule with another dictionary``; ``baseline`` where there is none to follow.
            Of a network, its weights say it.
        needs: PyPI package that it needs besides the core ones, or "".
        real_time: whether it keeps up with 30 Hz at 640×480 on one core, so that the node takes it.
        rule: visible and thermal luma, (H, W) uint8 both, to the fused one; of a network, that comes before them.
        obtain: of a network: how its weights are come by, as the end of a sentence; else "".
        weights: of a network: its ONNX file, or None where there is none.
    """

    name: str
    title: str
    reference: str
    year: int
    kind: str
    faithful: str
    needs: str
    real_time: bool
    rule: Rule
    obtain: str = ""
    weights: Path | None = None

    def fuse(self, visible: npt.NDArray[Any], thermal: npt.NDArray[Any]) -> Gray8:
        """Fuse two registered grey images.

        Args:
            visible: (H, W) uint8.
            thermal: (H, W) uint8, of the same size.

        Returns:
            (H, W) uint8.

        Raises:
            ValueError: an image is missing or no 8-bit grey image, their sizes differ, or the package or the weights
                that the method needs are missing; one sentence.
        """
        for camera, image in (("visible", visible), ("thermal", thermal)):
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
                found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else "missing"
                raise ValueError(f"method {self.name}: the {camera} image is {found}; expected (H, W) uint8")
        if visible.shape != thermal.shape:
            raise ValueError(
                f"method {self.name}: the images are {visible.shape[1]}×{visible.shape[0]} and "
                f"{thermal.shape[1]}×{thermal.shape[0]}; expected one size, registered"
            )
        if not self.obtain:
            return self.rule(visible, thermal)
        if self.weights is None:
            raise ValueError(self.missing)
        return self.rule(open_network(self.weights), visible, thermal)

    def with_weights(self, path: Path) -> FusionMethod:
        """The method with the weights of an ONNX file.

        Raises:
            ValueError: the method runs no network, or the file cannot be used, or is of other methods; one sentence.
        """
        if not self.obtain:
            raise ValueError(f"method {self.name} runs no network; expected no weights, found {path}")
        network = open_network(path)
        if self.name not in network.methods:
            raise ValueError(f"weights {path} are of {', '.join(network.methods)}; expected some of {self.name}")
        return replace(self, weights=path, faithful=network.faithful)

    @property
    def missing(self) -> str:
        """Why the method cannot run here, one sentence; empty where it can."""
        if self.obtain and self.weights is None:
            return f"method {self.name} has no weights here; expected: --weights FILE, {self.obtain}"
        if not self.needs or importlib.util.find_spec(self.needs):
            return ""
        return f"method {self.name} needs the package {self.needs}; expected: pip install {self.needs}"

    def as_json(self) -> dict[str, Any]:
        """What ``vi-fusion methods --json`` says of it."""
        return {
            "title": self.title,
            "reference": self.reference,
            "year": self.year,
            "kind": self.kind,
            "faithful": self.faithful,
            "needs": self.needs,
            "weights": self.weights.name if self.weights else "",
            "real_time": self.real_time,
        }


def to_bytes(unit: npt.NDArray[np.floating[Any]]) -> Gray8:
    """Grey values from 0 to 1 as uint8: clipped, halves rounded up."""
    return np.floor(np.clip(unit, 0, 1) * 255 + 0.5).astype(np.uint8)
