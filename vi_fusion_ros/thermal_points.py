"""Points with their temperature, of a result whose pixels have distances. Free of ROS."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.depth import metres
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import FusionResult

Points = npt.NDArray[np.float32]


def thermal_points(result: FusionResult, radiometry: Radiometry | None) -> Points:
    """What both cameras see, in space.

    Args:
        result: of a pair with a thermal image.
        radiometry: of its counts; None where it is not known.

    Returns:
        (n, 4) float32: x, y and z in metres (x right, y down, z ahead of the visible image's camera), and kelvin, or
        counts without ``radiometry``. A pixel each that has a measured distance and thermal data; n is 0 where no depth
        was used.
    """
    if result.distance is None or result.rays is None or result.thermal_registered is None or result.mask is None:
        return np.empty((0, 4), np.float32)
    distance = metres(result.distance)
    seen = (distance > 0) & (result.mask > 0)
    counts = result.thermal_registered[seen]
    # Radiometry takes images: a row of them.
    values = counts if radiometry is None else radiometry.kelvin(counts[None])[0]
    points = np.empty((len(counts), 4), np.float32)
    np.multiply(result.rays[seen], distance[seen, None], out=points[:, :3])
    points[:, 3] = values
    return points
