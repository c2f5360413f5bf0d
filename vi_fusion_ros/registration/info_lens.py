"""The lens that a CameraInfo describes; the message may be one of ROS, or read from a bag without it."""

from __future__ import annotations

from typing import Any

import numpy as np

from vi_fusion_ros.registration.rig import Camera, Matrix, Size

PINHOLE = ("plumb_bob", "rational_polynomial", "")
"""Names of the distortion models with OpenCV's radial and tangential coefficients; empty: none said."""

EQUIDISTANT = ("equidistant", "fisheye")
"""Names of the fisheye model."""


def lens_of_info(info: Any, rectified: bool) -> tuple[Camera, Size]:
    """The lens that a CameraInfo describes, and the (width, height) of the images, with region and binning in it.

    Args:
        info: the message, of ROS or read from a bag.
        rectified: whether the images have their distortion taken out; then P counts, without its fourth column.

    Raises:
        ValueError: it describes no calibrated camera; one sentence.
    """
    matrix = np.array(info.p, np.float64).reshape(3, 4)[:, :3] if rectified else np.array(info.k).reshape(3, 3)
    name = "P" if rectified else "K"
    if not matrix.any():
        raise ValueError(f"{name} is all zeros, the camera is not calibrated; calibrate it, or name a rig file")
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2, 2] == 1):
        raise ValueError(f"{name} is no camera matrix; expected fx and fy above 0")
    if not (info.width and info.height):
        raise ValueError("width and height are 0; expected the size of the images in pixels")
    distortion = np.zeros(5) if rectified else _distortion(info)
    fisheye = not rectified and info.distortion_model in EQUIDISTANT
    roi = info.roi
    if roi.width and roi.height:
        matrix = matrix - np.array([[0, 0, roi.x_offset], [0, 0, roi.y_offset], [0, 0, 0]])
    binning = np.diag([1 / max(info.binning_x, 1), 1 / max(info.binning_y, 1), 1.0])
    return Camera(binning @ matrix, distortion, fisheye), image_size(info)


def image_size(info: Any) -> Size:
    """(width, height) of the images that a CameraInfo is for, with region and binning in it."""
    roi = info.roi
    return (
        int((roi.width or info.width) // max(info.binning_x, 1)),
        int((roi.height or info.height) // max(info.binning_y, 1)),
    )


def is_rectified(topic: str) -> bool:
    """Whether its images are, by the names of image_pipeline: image_rect, image_rect_color, image_rect/compressed."""
    return any(part.startswith("image_rect") for part in topic.split("/"))


def _distortion(info: Any) -> Matrix:
    if info.distortion_model not in (*PINHOLE, *EQUIDISTANT):
        raise ValueError(
            f"distortion_model is '{info.distortion_model}'; expected plumb_bob, rational_polynomial or equidistant. "
            "Rectify the images first (image_rect), or name a rig file"
        )
    return coefficients(info.distortion_model, np.array(info.d, np.float64))


def coefficients(model: str, given: Matrix) -> Matrix:
    """The distortion coefficients of a lens, (n,); zeros (5,) where none are given.

    Args:
        model: a name in ``PINHOLE`` or ``EQUIDISTANT``.
        given: (n,).

    Raises:
        ValueError: their number is not one that the model has, or one is not finite; one sentence.
    """
    if model in EQUIDISTANT and len(given) != 4:
        raise ValueError(f"{len(given)} distortion coefficients; expected the 4 of equidistant")
    if len(given) not in (0, 4, 5, 8) or not np.isfinite(given).all():
        raise ValueError(f"{len(given)} distortion coefficients; expected 0, 4, 5 or 8 finite ones")
    return given if len(given) else np.zeros(5)
