"""Warping the thermal image into the visible frame, with everything that depends on geometry alone cached."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.frames import Image
from vi_fusion_ros.registration.rig import Rig, RigError, Size

_FEATHER_PX = 8.0


class _Geometry(NamedTuple):
    """What depends on the sizes alone. ``maps`` is None where the thermal image needs no warp."""

    maps: tuple[Image, Image] | None
    mask: npt.NDArray[np.uint8]
    overlap: float
    weight: npt.NDArray[np.float32] | None


class Registered(NamedTuple):
    """A thermal image in the visible frame, of size (H, W).

    Attributes:
        image: (H, W), dtype as received; 0 where ``mask`` is 0.
        mask: (H, W) uint8, 255 where the thermal camera sees; not to be written to.
        overlap: share of the visible frame that the mask covers, 0 to 1.
        weight: (H, W) float32, 1 inside the mask, falling to 0 over some pixels towards its edge, so that a fused image
            shows no seam; None where the mask covers everything.
    """

    image: Image
    mask: npt.NDArray[np.uint8]
    overlap: float
    weight: npt.NDArray[np.float32] | None


class Registration:
    """Applies a rig.

    Args:
        rig: the geometry of the cameras.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._sizes: tuple[Size, Size] | None = None
        self._geometry: _Geometry | None = None

    def apply(self, thermal: Image, visible_size: Size) -> Registered:
        """Bring a thermal image into the visible frame.

        Args:
            thermal: (h, w) uint8, uint16 or float32, without values that are not finite.
            visible_size: (W, H) of the visible image.

        Returns:
            The registered image; it is ``thermal`` itself where the sizes agree and the rig is the identity.

        Raises:
            RigError: the sizes do not fit the rig, or it leaves no overlap.
        """
        sizes = (thermal.shape[1], thermal.shape[0]), visible_size
        if self._geometry is None or sizes != self._sizes:
            self._geometry, self._sizes = self._geometry_for(*sizes), sizes
        maps, mask, overlap, weight = self._geometry
        image = thermal if maps is None else cv2.remap(thermal, *maps, cv2.INTER_LINEAR)
        return Registered(image, mask, overlap, weight)

    def _geometry_for(self, thermal_size: Size, visible_size: Size) -> _Geometry:
        width, height = visible_size
        matrix = self.rig.matrix_for(thermal_size, visible_size)
        full = np.full((height, width), 255, np.uint8)
        if thermal_size == visible_size and np.allclose(matrix / matrix[2, 2], np.eye(3), atol=1e-9):
            return _Geometry(None, full, 1.0, None)
        centre = matrix @ ((thermal_size[0] - 1) / 2, (thermal_size[1] - 1) / 2, 1)
        x, y = _source_coordinates(np.linalg.inv(matrix / centre[2]), visible_size)
        # Half a pixel beyond the outermost centres still belongs to the outermost pixels.
        inside = (x >= -0.5) & (x <= thermal_size[0] - 0.5) & (y >= -0.5) & (y <= thermal_size[1] - 0.5)
        overlap = float(inside.mean())
        if overlap == 0:
            raise RigError(f"the rig {self.rig.source} maps the thermal image outside the visible one: no overlap")
        np.clip(x, 0, thermal_size[0] - 1, out=x, where=inside)
        np.clip(y, 0, thermal_size[1] - 1, out=y, where=inside)
        x[~inside] = y[~inside] = -10  # outside: the border value, 0
        maps = cv2.convertMaps(x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)
        if overlap == 1.0:
            return _Geometry(maps, full, 1.0, None)
        mask = inside.astype(np.uint8) * 255
        weight = np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 3) / np.float32(_FEATHER_PX), 1)
        return _Geometry(maps, mask, overlap, weight.astype(np.float32))


def _source_coordinates(inverse: Image, size: Size) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each visible pixel, the thermal coordinates it is read from: two (H, W) arrays, x and y.

    ``inverse`` is scaled so that its third row is positive on the side of the horizon where the thermal image lies.
    """
    xs, ys = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    x, y, w = (row[0] * xs + row[1] * ys + row[2] for row in inverse)
    behind = w <= 1e-12
    w[behind] = 1.0
    x, y = x / w, y / w
    x[behind] = y[behind] = -1e6
    return x, y
