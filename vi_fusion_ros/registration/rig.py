"""The rig file: how two cameras are mounted to each other, as one homography."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

VERSION = 1
_KEYS = {"version", "H_thermal_to_visible", "thermal_size", "visible_size", "notes"}
_MIN_DETERMINANT = 1e-9

Size = tuple[int, int]
"""(width, height), pixels."""


class RigError(ValueError):
    """A rig file that cannot be used; the text is one sentence."""


@dataclass(frozen=True, eq=False)
class Rig:
    """The geometry of one pair of cameras.

    Convention: ``H_thermal_to_visible`` maps homogeneous thermal pixel coordinates (x, y, 1), x right, y down, pixel
    centres at integers, to visible ones.

    Attributes:
        H_thermal_to_visible: (3, 3) float64; None where the images are registered already and only differ in size.
        thermal_size: (width, height) of the thermal images that it holds for; None with an identity rig.
        visible_size: (width, height) of the visible images that it holds for; None with an identity rig.
        source: where it came from, for status and diagnostics.
    """

    H_thermal_to_visible: npt.NDArray[np.float64] | None
    thermal_size: Size | None
    visible_size: Size | None
    source: str

    @classmethod
    def identity(cls) -> Rig:
        """The rig of cameras that are registered already: the thermal image is scaled to the visible size."""
        return cls(None, None, None, "identity")

    @classmethod
    def load(cls, path: str | Path) -> Rig:
        """Read a rig file.

        Raises:
            RigError: one sentence about the first thing wrong with it.
        """
        try:
            content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise RigError(f"the rig file {path} cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            where = getattr(error, "problem_mark", None)
            line = f" (line {where.line + 1})" if where else ""
            raise RigError(f"the rig file {path} is not valid YAML{line}") from error
        try:
            return cls._of(content, str(path))
        except RigError as error:
            raise RigError(f"the rig file {path}: {error}") from error

    @classmethod
    def _of(cls, content: Any, source: str) -> Rig:
        if not isinstance(content, dict):
            raise RigError("expected a mapping with the keys version, H_thermal_to_visible, thermal_size, visible_size")
        unknown = sorted(map(str, set(content) - _KEYS))
        if unknown:
            raise RigError(f"the key {unknown[0]} is unknown; expected {', '.join(sorted(_KEYS))}")
        if content.get("version") != VERSION:
            raise RigError(f"version is {content.get('version')!r}; expected {VERSION}")
        if content.get("H_thermal_to_visible") == "identity":
            return cls(None, None, None, source)
        return cls(
            _homography(content.get("H_thermal_to_visible")),
            _size(content, "thermal_size"),
            _size(content, "visible_size"),
            source,
        )

    def matrix_for(self, thermal_size: Size, visible_size: Size) -> npt.NDArray[np.float64]:
        """``H_thermal_to_visible`` for images of these sizes.

        Images of another size than the rig's, with the same aspect ratio, are taken as scaled versions of them.

        Args:
            thermal_size: (width, height) of the thermal image.
            visible_size: (width, height) of the visible image.

        Raises:
            RigError: an aspect ratio differs from the rig's by more than 1 %.
        """
        if self.H_thermal_to_visible is None or self.thermal_size is None or self.visible_size is None:
            return scaling(thermal_size, visible_size)
        for name, actual, expected in (
            ("thermal", thermal_size, self.thermal_size),
            ("visible", visible_size, self.visible_size),
        ):
            if abs(actual[0] * expected[1] / (actual[1] * expected[0]) - 1) > 0.01:
                raise RigError(
                    f"the {name} image is {actual[0]}x{actual[1]}, but the rig {self.source} is for "
                    f"{expected[0]}x{expected[1]}, another aspect ratio"
                )
        to_rig = scaling(thermal_size, self.thermal_size)
        from_rig = scaling(self.visible_size, visible_size)
        return from_rig @ self.H_thermal_to_visible @ to_rig


def scaling(source: Size, target: Size) -> npt.NDArray[np.float64]:
    """The matrix that maps pixels of an image of size ``source`` to those of the same image resized to ``target``.

    With pixel centres at integers, x' = (x + 0.5) s - 0.5: the corners of the pixels meet, as in ``cv2.resize``.
    """
    sx, sy = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], np.float64)


def _homography(value: Any) -> npt.NDArray[np.float64]:
    if value is None:
        raise RigError("H_thermal_to_visible is missing; expected three rows of three numbers, or identity")
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise RigError("H_thermal_to_visible is not numeric; expected three rows of three numbers") from error
    if matrix.shape != (3, 3):
        raise RigError(f"H_thermal_to_visible has shape {matrix.shape}; expected three rows of three numbers")
    if not np.isfinite(matrix).all():
        raise RigError("H_thermal_to_visible has a value that is not finite")
    if abs(np.linalg.det(matrix / np.abs(matrix).max())) < _MIN_DETERMINANT:
        raise RigError("H_thermal_to_visible is singular, so it maps the image onto a line or a point")
    return matrix


def _size(content: dict[str, Any], key: str) -> Size:
    value = content.get(key)
    if not (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in value)
    ):
        raise RigError(f"{key} is {value!r}; expected [width, height] in pixels")
    return value[0], value[1]
