"""The thermal image in the visible frame: one remap, its maps made once per pair of image sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration import cloud
from vi_fusion_ros.registration.depth import OUTSIDE, DepthMaps, Floats, metres, without_lenses
from vi_fusion_ros.registration.lenses import distorted, monotonic_radius, pixels, straightened
from vi_fusion_ros.registration.rig import Camera, Matrix, Rig, Size, scaling
from vi_fusion_ros.types import Image

Mask = npt.NDArray[np.uint8]

_ROUNDING = 1e-6  # pixels
_DENSE = 0.6  # thermal pixels between neighbours in the visible image


@dataclass(frozen=True, eq=False)
class _Geometry:
    """What is made once per pair of sizes; without maps the warp is a mere change of size, or nothing."""

    thermal_size: Size
    visible_size: Size
    maps: tuple[Image, Image] | None
    mask: Mask
    overlap: float
    halved: bool = False  # the maps lead to half the visible size; doubling is left to cv2.resize


class Registration:
    """Applies a rig to thermal images. Not thread-safe.

    Args:
        rig: where the thermal camera lies.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._geometry: _Geometry | None = None
        self._depth_maps: tuple[_Geometry, DepthMaps] | None = None

    @property
    def sizes(self) -> tuple[Size, Size] | None:
        """(width, height) of the thermal and of the visible images that the maps are made for; None: not made yet."""
        geometry = self._geometry
        return None if geometry is None else (geometry.thermal_size, geometry.visible_size)

    @property
    def overlap(self) -> float:
        """Share of the visible image that the maps reach, 0 to 1; 0 where they are not made yet."""
        geometry = self._geometry
        return 0.0 if geometry is None else geometry.overlap

    def prepare(self, thermal_size: Size, visible_size: Size) -> _Geometry:
        """Make the maps for a pair of sizes, (width, height), ahead of the first image; otherwise that one waits.

        Raises:
            ValueError: the sizes do not fit the rig.
        """
        geometry = self._geometry
        if geometry is None or (geometry.thermal_size, geometry.visible_size) != (thermal_size, visible_size):
            geometry = self._geometry = _geometry(self.rig, thermal_size, visible_size)
        return geometry

    def apply(self, thermal: Image, visible_size: Size) -> tuple[Image, Mask, float]:
        """Register a thermal image.

        Args:
            thermal: (h, w) uint8, uint16 or float32, thermal frame; NaN and infinity in float32 are missing data.
            visible_size: (width, height) of the visible image, pixels.

        Returns:
            The image in the visible frame, (height, width), same dtype and units, bilinear; outside the mask it is 0,
            or not finite where it is float32. It is ``thermal`` itself where nothing has to be done.
            The mask, (height, width) uint8, 255 where there is thermal data, else 0; read-only, and the same object as
            before as long as it has not changed.
            The share of the mask that is set, 0 to 1.

        Raises:
            ValueError: the sizes do not fit the rig.
        """
        geometry = self.prepare((thermal.shape[1], thermal.shape[0]), visible_size)
        registered = _warp(thermal, geometry)
        if registered.dtype != np.float32:
            return registered, geometry.mask, geometry.overlap
        finite = np.isfinite(registered)
        if np.count_nonzero(finite) == round(geometry.overlap * finite.size):
            return registered, geometry.mask, geometry.overlap
        return registered, *_sealed(_mask(finite))

    def apply_at_depth(self, thermal: Image, depth: Image, visible_size: Size) -> tuple[Image, Mask, float]:
        """Register a thermal image, each visible pixel at its own distance; where that is not known as ``apply`` does.

        Args:
            thermal: as for ``apply``.
            depth: (height, width) of the visible image, pixel by pixel along its axis, uint16 millimetres or float32
                metres. 0, negative, NaN and infinity: not known.
            visible_size: (width, height) of the visible image, pixels.

        Returns:
            As ``apply``. What is hidden from the thermal camera by something nearer is outside the mask.

        Raises:
            ValueError: the rig has no lenses or extrinsics, or the depth image cannot be used; ``apply`` does then.
        """
        x, y, inside = self._depth((thermal.shape[1], thermal.shape[0]), visible_size)(metres(depth))
        registered = np.asarray(cv2.remap(thermal, x, y, cv2.INTER_LINEAR))
        if registered.dtype == np.float32:
            registered[~inside] = math.nan
            inside = np.isfinite(registered)
        return registered, *_sealed(_mask(inside))

    def distances(self, points: Floats, visible_size: Size) -> tuple[Floats, Floats]:
        """Depth images of a point cloud, for ``apply_at_depth``.

        Args:
            points: (n, 3) float32, metres in the visible camera's frame.
            visible_size: (width, height) of the visible image, pixels.

        Returns:
            Metres along the axis, (height, width) float32, 0 where not known: as measured, and with the gaps between
            points filled.

        Raises:
            ValueError: the rig has no lens of the visible camera, or no point lies in the image; one sentence.
        """
        lens, size = self.rig.visible_camera, self.rig.visible_size
        if lens is None or size is None:
            raise ValueError(without_lenses(self.rig))
        return cloud.distances(points, replace(lens, matrix=scaling(size, visible_size) @ lens.matrix), visible_size)

    def rays(self, thermal_size: Size, visible_size: Size) -> Floats:
        """The direction that each visible pixel looks in, (height, width, 3) float32, 1 along the axis; read-only.

        Raises:
            ValueError: as ``apply_at_depth``.
        """
        return self._depth(thermal_size, visible_size).visible_rays

    def _depth(self, thermal_size: Size, visible_size: Size) -> DepthMaps:
        geometry = self.prepare(thermal_size, visible_size)
        if self._depth_maps is None or self._depth_maps[0] is not geometry:
            self._depth_maps = geometry, _depth_maps(self.rig, geometry.thermal_size, geometry.visible_size)
        return self._depth_maps[1]


def _warp(thermal: Image, geometry: _Geometry) -> Image:
    if geometry.maps is not None:
        registered = np.asarray(cv2.remap(thermal, *geometry.maps, cv2.INTER_LINEAR))
        if geometry.halved:
            registered = np.asarray(cv2.resize(registered, geometry.visible_size, interpolation=cv2.INTER_LINEAR))
            registered = np.asarray(cv2.copyTo(registered, geometry.mask))
        if registered.dtype == np.float32:
            registered[geometry.mask == 0] = math.nan  # as borderValue it would spread into the last row and column
        return registered
    if geometry.thermal_size == geometry.visible_size:
        return thermal
    return np.asarray(cv2.resize(thermal, geometry.visible_size, interpolation=cv2.INTER_LINEAR))


def _geometry(rig: Rig, thermal_size: Size, visible_size: Size) -> _Geometry:
    homography = rig.homography(thermal_size, visible_size)
    width, height = visible_size
    straight = rig.thermal_camera is None and rig.visible_camera is None
    if straight and np.allclose(_beyond_scaling(homography, thermal_size, visible_size), np.eye(3), rtol=0, atol=1e-9):
        mask, overlap = _sealed(np.full((height, width), 255, np.uint8))
        return _Geometry(thermal_size, visible_size, None, mask, overlap)
    x, y, inside = _source_coordinates(rig, homography, thermal_size, visible_size)
    mask, overlap = _sealed(_mask(inside))
    halved = _oversampled(x, y, inside)
    if halved:
        # OpenCV remaps 16 bit at 5 ns a pixel and doubles at 0.3: where visible pixels lie this dense in the thermal
        # image, half of them each way still take in all of it.
        x, y = _halved(x, inside), _halved(y, inside)
    # Fixed point, 1/32 pixel: half the time of float maps.
    maps = cv2.convertMaps(x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)
    return _Geometry(thermal_size, visible_size, maps, mask, overlap, halved)


def _oversampled(x: Matrix, y: Matrix, inside: npt.NDArray[np.bool_]) -> bool:
    """Whether neighbours in the visible image are nowhere more than ``_DENSE`` thermal pixels apart."""
    if x.shape[0] % 2 or x.shape[1] % 2 or not inside.any():
        return False
    across = np.hypot(np.diff(x, axis=1), np.diff(y, axis=1))[inside[:, 1:] & inside[:, :-1]]
    down = np.hypot(np.diff(x, axis=0), np.diff(y, axis=0))[inside[1:] & inside[:-1]]
    return bool(max(across.max(initial=0), down.max(initial=0)) <= _DENSE)


def _halved(coordinates: Matrix, inside: npt.NDArray[np.bool_]) -> Matrix:
    """Mean of the coordinates of each 2x2 pixels that lie in the image; of blocks beside it, their nearest edge's."""
    h, w = coordinates.shape
    blocks = (h // 2, 2, w // 2, 2)
    count = inside.reshape(blocks).sum((1, 3))
    total = np.where(inside, coordinates, 0).reshape(blocks).sum((1, 3))
    mean = np.where(count > 0, total / np.maximum(count, 1), 0)
    # The doubling looks one block beyond the edge.
    near = cv2.dilate(np.where(count > 0, mean, -1).astype(np.float32), np.ones((3, 3), np.uint8))
    return np.where(count > 0, mean, np.maximum(near, 0))


def _beyond_scaling(homography: Matrix, thermal_size: Size, visible_size: Size) -> Matrix:
    """What the homography does after scaling is taken off it; the identity where scaling is all it does."""
    change = scaling(visible_size, thermal_size) @ homography
    return np.asarray(change / change[2, 2]) if change[2, 2] else change


def _source_coordinates(
    rig: Rig, homography: Matrix, thermal_size: Size, visible_size: Size
) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
    """For each visible pixel the thermal coordinates (x, y) that it shows, and whether they lie in the image."""
    (thermal_w, thermal_h), (width, height) = thermal_size, visible_size
    inverse = np.linalg.inv(homography)
    centre = homography @ ((thermal_w - 1) / 2, (thermal_h - 1) / 2, 1.0)
    # Points behind the camera's horizon come out with the other sign than the thermal image's own centre.
    inverse *= np.sign(inverse[2] @ (centre / centre[2]))
    ys, xs = np.mgrid[:height, :width].astype(np.float64)
    if rig.visible_camera is not None and rig.visible_size is not None:
        xs, ys = _undistorted(rig.visible_camera, scaling(rig.visible_size, visible_size), xs, ys)
    u, v, w = (row[0] * xs + row[1] * ys + row[2] for row in inverse)
    front = w > 1e-12
    w = np.where(front, w, 1.0)
    x, y = u / w, v / w
    if rig.thermal_camera is not None and rig.thermal_size is not None:
        x, y = _distorted(rig.thermal_camera, scaling(rig.thermal_size, thermal_size), x, y, front)
    edge = 0.5 + _ROUNDING  # a pixel reaches half a pixel beyond its centre
    inside = front & (x >= -edge) & (x <= thermal_w - 1 + edge) & (y >= -edge) & (y <= thermal_h - 1 + edge)
    x = np.where(inside, np.clip(x, 0, thermal_w - 1), OUTSIDE)
    y = np.where(inside, np.clip(y, 0, thermal_h - 1), OUTSIDE)
    return x, y, inside


def _undistorted(camera: Camera, resize: Matrix, x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Where the pixels of a picture would be if its lens had no distortion."""
    matrix = resize @ camera.matrix
    if camera.equidistant:
        straight = straightened(replace(camera, matrix=matrix), np.stack([x.ravel(), y.ravel()], 1))
        return straight[:, 0].reshape(x.shape), straight[:, 1].reshape(x.shape)
    points = np.stack([x, y], -1).reshape(-1, 1, 2)
    straight = cv2.undistortPoints(points, matrix, camera.distortion, None, None, matrix).reshape(*x.shape, 2)
    return straight[..., 0], straight[..., 1]


def _distorted(
    camera: Camera, resize: Matrix, x: Matrix, y: Matrix, front: npt.NDArray[np.bool_]
) -> tuple[Matrix, Matrix]:
    """Where the lens puts undistorted pixels; far outside of the picture, where its polynomial folds back, nowhere."""
    matrix = resize @ camera.matrix
    x, y = (x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1]
    radius = np.hypot(x, y)
    ordered = np.asarray(np.linspace(0, float(radius[front].max(initial=0)), 500), np.float64)
    reach = monotonic_radius(camera, ordered)
    wild = ~front | (radius > reach)
    x[wild] = y[wild] = 0
    x, y = pixels(matrix, *distorted(camera, x, y))
    x[wild] = y[wild] = OUTSIDE
    return x, y


def _depth_maps(rig: Rig, thermal_size: Size, visible_size: Size) -> DepthMaps:
    plane = _source_coordinates(rig, rig.homography(thermal_size, visible_size), thermal_size, visible_size)
    return DepthMaps(rig, thermal_size, visible_size, plane)


def _mask(inside: npt.NDArray[np.bool_]) -> Mask:
    return inside.astype(np.uint8) * np.uint8(255)


def _sealed(mask: Mask) -> tuple[Mask, float]:
    """The mask made read-only, for results share it, and the share of it that is set."""
    mask.flags.writeable = False
    return mask, cv2.countNonZero(mask) / mask.size
