"""What every method of the literature is: one that fuses, or one that finds objects."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.networks import open_network
from vi_fusion_ros.methods.onnx_parameters import parameters

Gray8 = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]
"""(M, 6), the surest first: index of the label, probability, and the box: left, upper, right, lower edge in pixels."""

DETECTOR = "detector"
"""Kind of the methods that find objects."""

_Self = TypeVar("_Self", bound="Method")


@dataclass(frozen=True)
class Method:
    """A method of the literature.

    Attributes:
        name: as commands and the node's parameter spell it.
        title: for people.
        reference: publication.
        year: of the publication.
        kind: ``pixel``, ``multi-scale``, ``optimisation``, ``sparse``, ``region``, ``network`` or ``detector``.
        faithful: ``published``; ``published rule with another dictionary``; ``baseline`` where there is none to follow.
            Of a network, its weights say it.
        needs: PyPI package that it needs besides the core ones, or "".
        real_time: whether it keeps up with 30 Hz at 640×480 on one core, so that the node takes it.
        rule: what it does with two images; of a network, that comes before them.
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
    rule: Callable[..., npt.NDArray[Any]]
    obtain: str = ""
    weights: Path | None = None

    def with_weights(self: _Self, path: Path) -> _Self:
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

    @property
    def networks(self) -> tuple[Path, ...]:
        """The ONNX files that it runs."""
        return (self.weights,) if self.weights else ()

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
            "parameters": sum(parameters(path) for path in self.networks),
            "real_time": self.real_time,
        }

    def _check(self, camera: str, image: Any, wanted: str, fits: Callable[[tuple[int, ...]], bool]) -> None:
        """Raise ValueError where an image is missing, empty, not uint8, or of a shape that does not fit."""
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size and fits(image.shape):
            return
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else "missing"
        raise ValueError(f"method {self.name}: the {camera} image is {found}; expected {wanted} uint8")

    def _check_sizes(self, visible: npt.NDArray[Any], thermal: npt.NDArray[Any]) -> None:
        if visible.shape[:2] != thermal.shape[:2]:
            raise ValueError(
                f"method {self.name}: the images are {visible.shape[1]}×{visible.shape[0]} and "
                f"{thermal.shape[1]}×{thermal.shape[0]}; expected one size, registered"
            )


@dataclass(frozen=True)
class FusionMethod(Method):
    """A method that makes one image of two registered ones.

    Its ``rule`` goes from visible and thermal luma, (H, W) uint8 both, to the fused one.
    """

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
        self._check("visible", visible, "(H, W)", _is_grey)
        self._check("thermal", thermal, "(H, W)", _is_grey)
        self._check_sizes(visible, thermal)
        if not self.obtain:
            return self.rule(visible, thermal)
        if self.weights is None:
            raise ValueError(self.missing)
        return self.rule(open_network(self.weights), visible, thermal)


@dataclass(frozen=True)
class Detector(Method):
    """A method that finds objects in two registered images, and makes no image of them.

    Its ``rule`` goes from its network, that of ``backbone``, and both images to ``Boxes``.

    Attributes:
        backbone: ONNX file of the features that its network works on, or None where there is none.
    """

    backbone: Path | None = None

    @property
    def networks(self) -> tuple[Path, ...]:
        """See ``Method.networks``; with its backbone."""
        return (*super().networks, *((self.backbone,) if self.backbone else ()))

    @property
    def labels(self) -> tuple[str, ...]:
        """What it finds, in the order of the indices in ``Boxes``.

        Raises:
            ValueError: it has no weights here, or they cannot be used.
        """
        if self.weights is None:
            raise ValueError(self.missing)
        return open_network(self.weights).labels

    @property
    def refusal(self) -> str:
        """Why it does not fuse, one sentence."""
        return (
            f"method {self.name} is a detector: it yields boxes, no fused image; expected: "
            f"vi-fusion evaluate detection --methods {self.name}"
        )

    def detect(self, visible: npt.NDArray[Any], thermal: npt.NDArray[Any]) -> Boxes:
        """Find objects.

        Args:
            visible: (H, W) or (H, W, 3) BGR, uint8; zeros where that camera is missing.
            thermal: (H, W) uint8, of the same size; zeros likewise.

        Returns:
            Those of a probability of at least 0.01, at most 100, in pixels of the images.

        Raises:
            ValueError: an image is missing or no 8-bit image, their sizes differ, or weights are missing; one sentence.
        """
        self._check("visible", visible, "(H, W) or (H, W, 3)", lambda shape: _is_grey(shape) or shape[2:] == (3,))
        self._check("thermal", thermal, "(H, W)", _is_grey)
        self._check_sizes(visible, thermal)
        if self.weights is None or self.backbone is None:
            raise ValueError(
                self.missing or f"method {self.name} has no backbone here; expected models/methods/lite0.onnx"
            )
        return self.rule(open_network(self.weights), open_network(self.backbone), visible, thermal)


def to_bytes(unit: npt.NDArray[np.floating[Any]]) -> Gray8:
    """Grey values from 0 to 1 as uint8: clipped, halves rounded up."""
    return np.floor(np.clip(unit, 0, 1) * 255 + 0.5).astype(np.uint8)


def _is_grey(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2
