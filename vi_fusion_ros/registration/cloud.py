"""The distance of visible pixels from a point cloud: the nearest point in each, and what lies between points filled."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.lenses import distorted, monotonic_radius, pixels
from vi_fusion_ros.registration.rig import Camera, Matrix, Size

Floats = npt.NDArray[np.float32]

_NEAREST_M = 0.05  # what is nearer is the rig itself
_WIDEST = 5.0  # tangent of the angle from the axis: 79 degrees
_REACH = 1 / 80  # of the image's width: a pixel takes the distance of a point that is as near; 8 pixels of 640


def turned(points: Floats, rotation: Matrix) -> Floats:
    """Points (n, 3) as a rotation (3, 3) turns each of them: float32; n may be 0.

    Not by a product of matrices: the BLAS wakes a thread for a cloud, which spins for longer than the work takes.
    """
    if not len(points):
        return points
    return np.asarray(cv2.transform(np.ascontiguousarray(points)[None], rotation)[0], np.float32)


def distances(points: Floats, camera: Camera, size: Size) -> tuple[Floats, Floats]:
    """Depth images of a cloud.

    Args:
        points: (n, 3), x, y and z, metres in the camera's frame; n may be 0.
        camera: for images of this size.
        size: (width, height), pixels.

    Returns:
        Metres along the axis, (height, width) float32, 0 where not known: of the pixels that a point lies in, the
        nearest one where there are more; and the same with pixels between points having the distance of the nearest.

    Raises:
        ValueError: no point lies in the image; one sentence.
    """
    width, height = size
    z = points[:, 2]
    ahead = z > _NEAREST_M
    x, y = (points[ahead, axis] / z[ahead] for axis in (0, 1))
    reach = min(monotonic_radius(camera, np.linspace(0, _WIDEST, 2000, dtype=np.float64)), _WIDEST)
    wide = x * x + y * y <= reach**2
    columns, rows = (np.rint(at) for at in pixels(camera.matrix, *distorted(camera, x[wide], y[wide])))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    if not inside.any():
        raise ValueError(
            f"none of the {len(points)} points lies in the visible image; is the cloud's frame right, and is the "
            "visible camera's frame an optical one (x right, y down, z ahead)?"
        )
    places = rows[inside].astype(np.int64) * width + columns[inside].astype(np.int64)
    nearest = np.full(height * width, np.inf, np.float32)
    np.minimum.at(nearest, places, z[ahead][wide][inside])
    measured = np.where(np.isfinite(nearest), nearest, np.float32(0)).reshape(height, width)
    return measured, _filled(measured)


def _filled(measured: Floats) -> Floats:
    """What is 0 takes the value of the nearest pixel that is not, where one is near."""
    away, labels = cv2.distanceTransformWithLabels(
        (measured == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = measured > 0
    values = np.zeros(int(labels.max()) + 1, np.float32)
    values[labels[known]] = measured[known]
    filled = values[labels]
    filled[away > max(_REACH * measured.shape[1], 1.0)] = 0
    return filled
