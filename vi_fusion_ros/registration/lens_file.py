"""Intrinsics from a file: the camera_info YAML of ROS' camera calibration, or what ``ros2 topic echo`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vi_fusion_ros.registration.info_lens import EQUIDISTANT, PINHOLE, coefficients
from vi_fusion_ros.registration.rig import Camera, Matrix, Size
from vi_fusion_ros.yaml_files import read_yaml, shown

_WHAT = "camera_info file"


def load_lens(path: Path, size: Size) -> Camera:
    """The lens that a file describes.

    Args:
        path: YAML with ``camera_matrix``, ``distortion_coefficients`` and ``image_width``, as camera_calibration writes
            it; or with ``k``, ``d`` and ``width``, as a CameraInfo message is printed.
        size: (width, height) of the images that it has to be for, pixels.

    Raises:
        ValueError: it cannot be read, is for other images, or describes no calibrated camera; one sentence.
    """
    document = read_yaml(path, _WHAT)
    try:
        return _lens(document, size)
    except ValueError as error:
        raise ValueError(f"{_WHAT} {path}: {error}") from None


def _lens(document: Any, size: Size) -> Camera:
    if not isinstance(document, dict):
        raise ValueError("expected keys and values, as camera_calibration writes them")  # noqa: TRY004 (a user's fault)
    width, height = (document.get(f"image_{side}", document.get(side)) for side in ("width", "height"))
    if (width, height) != size:
        raise ValueError(
            f"it is for images of {shown(width)}x{shown(height)}, these have {size[0]}x{size[1]}; give the intrinsics "
            "of this resolution"
        )
    model = document.get("distortion_model", "")
    if model not in (*PINHOLE, *EQUIDISTANT):
        raise ValueError(f"distortion_model is {shown(model)}; expected plumb_bob, rational_polynomial or equidistant")
    matrix: Matrix = _numbers(document, ("camera_matrix", "k", "K"))
    if matrix.size != 9:
        raise ValueError(f"the camera matrix has {matrix.size} numbers; expected 9")
    matrix = matrix.reshape(3, 3)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.array_equal(matrix[2], (0, 0, 1))):
        raise ValueError("its matrix is no camera matrix (all zeros means uncalibrated); expected fx, fy above 0")
    distortion = coefficients(model, _numbers(document, ("distortion_coefficients", "d", "D")))
    return Camera(matrix, distortion, model in EQUIDISTANT)


def _numbers(document: dict[str, Any], keys: tuple[str, ...]) -> Matrix:
    """The numbers under the first of the keys that is there, a list or a matrix with ``data``."""
    found = next((document[key] for key in keys if key in document), None)
    values = found.get("data") if isinstance(found, dict) else found
    try:
        numbers: Matrix = np.array(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise ValueError(f"{keys[0]} is missing or has something that is no finite number")
    return numbers
