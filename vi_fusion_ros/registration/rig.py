"""The rig file: how the thermal camera lies in the visible one. config/rigs/example.yaml shows and explains it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

Size = tuple[int, int]
Matrix = npt.NDArray[np.float64]

VERSION = 1
_KEYS = {"version", "H_thermal_to_visible", "thermal_size", "visible_size", "notes"}
_ASPECT_TOLERANCE = 0.01  # sizes that were rounded or cropped by some pixels still count as the same aspect


@dataclass(frozen=True, eq=False)
class Rig:
    """The registration of two cameras.

    Convention: pixel coordinates (x right, y down), pixel centres at integers; sizes (width, height) in pixels.

    Attributes:
        H_thermal_to_visible: (3, 3) float64, maps homogeneous thermal coordinates to visible ones, both of images of
            the sizes below. Without sizes it is the identity and stands for "scale to the visible image's size".
        thermal_size: (width, height) of the thermal image that the matrix was made for, or None.
        visible_size: the same of the visible image.
        source: where it comes from, for people: the file's path, or ``identity``.
    """

    H_thermal_to_visible: Matrix = field(default_factory=lambda: np.eye(3))
    thermal_size: Size | None = None
    visible_size: Size | None = None
    source: str = "identity"

    @classmethod
    def identity(cls) -> Rig:
        """Cameras that are registered already: the thermal image is scaled to the visible one's size, no more."""
        return cls()

    @classmethod
    def load(cls, path: str | Path) -> Rig:
        """Read a rig file.

        Raises:
            ValueError: the file is missing, is not YAML, or says something that cannot be; one sentence with its path.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"rig file {path} cannot be read: {reason}") from error
        try:
            return _parse(yaml.safe_load(text), str(path))
        except yaml.YAMLError as error:
            raise ValueError(f"rig file {path} is not YAML: {' '.join(str(error).split())}") from error
        except ValueError as error:
            raise ValueError(f"rig file {path}: {error}") from error

    def homography(self, thermal_size: Size, visible_size: Size) -> Matrix:
        """``H_thermal_to_visible`` for images of other sizes than those of calibration, (3, 3) float64.

        Args:
            thermal_size: (width, height) of the actual thermal image.
            visible_size: the same of the visible image.

        Raises:
            ValueError: a size has another aspect than the one in the rig file: the image was cropped, not scaled.
        """
        if self.thermal_size is None or self.visible_size is None:
            return scaling(thermal_size, visible_size)
        self._check_aspect("thermal", self.thermal_size, thermal_size)
        self._check_aspect("visible", self.visible_size, visible_size)
        return (
            scaling(self.visible_size, visible_size)
            @ self.H_thermal_to_visible
            @ scaling(thermal_size, self.thermal_size)
        )

    def _check_aspect(self, camera: str, expected: Size, actual: Size) -> None:
        ratio = actual[0] * expected[1] / (actual[1] * expected[0])
        if abs(ratio - 1) > _ASPECT_TOLERANCE:
            raise ValueError(
                f"{camera} image of {actual[0]}x{actual[1]} does not fit the rig {self.source}; expected "
                f"{expected[0]}x{expected[1]} or the same aspect"
            )


def scaling(source: Size, target: Size) -> Matrix:
    """The matrix that maps pixel coordinates of an image to those of the same image resized, (3, 3) float64.

    Pixels are areas: with centres at integers the image reaches from -0.5 to size - 0.5, as in ``cv2.resize``.

    Args:
        source: (width, height).
        target: (width, height).
    """
    sx, sy = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def _parse(document: Any, source: str) -> Rig:
    if not isinstance(document, dict):
        raise ValueError("expected keys and values, as in config/rigs/example.yaml")  # noqa: TRY004 (a user's fault)
    version = document.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise ValueError(f"version is {version!r}; expected {VERSION}")
    unknown = sorted(str(key) for key in document if key not in _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}")
    if "H_thermal_to_visible" not in document:
        raise ValueError("H_thermal_to_visible is missing; expected three rows of three numbers, or identity")
    matrix, sizes = document["H_thermal_to_visible"], [_size(document, f"{c}_size") for c in ("thermal", "visible")]
    thermal_size, visible_size = sizes
    identity = isinstance(matrix, str) and matrix == "identity"
    if identity and thermal_size is None and visible_size is None:
        return Rig(source=source)
    for key, size in (("thermal_size", thermal_size), ("visible_size", visible_size)):
        if size is None:
            raise ValueError(f"{key} is missing; expected [width, height] of the images it was made for")
    assert thermal_size is not None
    assert visible_size is not None
    homography = scaling(thermal_size, visible_size) if identity else _matrix(matrix)
    _check_plausible(homography, thermal_size, visible_size)
    return Rig(homography, thermal_size, visible_size, source)


def _size(document: dict[str, Any], key: str) -> Size | None:
    value = document.get(key)
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in value)
    ):
        raise ValueError(f"{key} is {value!r}; expected [width, height], two whole numbers above 0")
    return value[0], value[1]


def _matrix(value: Any) -> Matrix:
    expected = "expected three rows of three finite numbers, or identity"
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"H_thermal_to_visible is {value!r}; {expected}") from None
    if matrix.shape != (3, 3):
        raise ValueError(f"H_thermal_to_visible has the shape {matrix.shape}; {expected}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"H_thermal_to_visible has an entry that is not finite; {expected}")
    return matrix


def _check_plausible(homography: Matrix, thermal_size: Size, visible_size: Size) -> None:
    # In units of the images' sizes the determinant says something about the matrix, not about the choice of pixels.
    unit = scaling(visible_size, (1, 1)) @ homography @ scaling((1, 1), thermal_size)
    norm = np.linalg.norm(unit)
    if norm == 0 or abs(np.linalg.det(unit / norm)) < 1e-9:
        raise ValueError("H_thermal_to_visible is singular; expected a matrix that can be inverted")
    (w, h), (visible_w, visible_h) = thermal_size, visible_size
    corners = homography @ np.array([[0, w - 1, w - 1, 0], [0, 0, h - 1, h - 1], [1, 1, 1, 1]], np.float64)
    if not (np.all(corners[2] > 0) or np.all(corners[2] < 0)):
        raise ValueError("H_thermal_to_visible maps a part of the thermal image to infinity; expected a finite outline")
    x, y = corners[:2] / corners[2]
    if x.max() < 0 or y.max() < 0 or x.min() > visible_w - 1 or y.min() > visible_h - 1:
        raise ValueError(
            "H_thermal_to_visible maps the thermal image beside the visible one; expected thermal pixels to visible "
            "pixels, (x, y)"
        )
