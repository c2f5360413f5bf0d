"""Point clouds between numpy and messages shaped like ``sensor_msgs/PointCloud2``. Imports no ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.images.encodings import ImageError

Points = npt.NDArray[np.float32]

_AXES = ("x", "y", "z")
_FLOATS = {7: "f4", 8: "f8"}
"""By the number of a datatype of ``sensor_msgs/PointField``."""
FLOAT32 = 7

INTENSITY_FIELDS = tuple((name, 4 * number) for number, name in enumerate((*_AXES, "intensity")))
"""Name and offset of the fields of (n, 4) float32, in bytes."""


def coordinates(message: Any) -> Points:
    """The points of a message, (n, 3) float32 metres in its frame; those that are not finite are left out.

    Raises:
        ImageError: it has no fields x, y and z of floats, contradicts itself, or has no finite point; one sentence.
    """
    kinds, offsets = [], []
    for axis in _AXES:
        field = next((field for field in message.fields if field.name == axis), None)
        if field is None or field.datatype not in _FLOATS or field.count > 1:
            names = ", ".join(field.name for field in message.fields) or "none"
            raise ImageError(f"the point cloud has no fields x, y and z of 32 or 64 bit floats; its fields: {names}")
        kinds.append((">" if message.is_bigendian else "<") + _FLOATS[field.datatype])
        offsets.append(field.offset)
    width, height, step, row = message.width, message.height, message.point_step, message.row_step
    ends = [offset + np.dtype(kind).itemsize for offset, kind in zip(offsets, kinds, strict=True)]
    data = np.frombuffer(message.data, np.uint8)
    if max(ends) > step or width * step > row or height * row > data.size:
        raise ImageError(
            f"the point cloud contradicts itself: {height} rows of {row} bytes, {width} points of {step} bytes each, "
            f"fields up to {max(ends)}, {data.size} bytes of data"
        )
    layout = np.dtype({"names": _AXES, "formats": kinds, "offsets": offsets, "itemsize": step})
    rows = data[: height * row].reshape(height, row)[:, : width * step] if width and height else data[:0]
    flat = np.ascontiguousarray(rows).reshape(-1).view(layout)
    with np.errstate(over="ignore"):
        points = np.stack([flat[axis].astype(np.float32) for axis in _AXES], 1)
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        raise ImageError("the point cloud has no finite point")
    return points
