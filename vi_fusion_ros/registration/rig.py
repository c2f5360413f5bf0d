"""The rig file: how the thermal camera lies in the visible one. config/rigs/example.yaml shows and explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from vi_fusion_ros.yaml_files import is_finite_number, read_yaml, shown

Size = tuple[int, int]
Matrix = npt.NDArray[np.float64]

VERSION = 1
_KEYS = {
    "version", "H_thermal_to_visible", "thermal_size", "visible_size", "thermal_camera", "visible_camera", "extrinsics",
    "plane_distance_m", "time_offset_ms", "time_offset_uncertainty_ms", "radiometry", "uncertainty_px", "made", "notes",
}  # fmt: skip
_EQUIDISTANT = "equidistant"
_LONGEST = 65535  # side of an image, pixels
_ASPECT_TOLERANCE = 0.01  # sizes that were rounded or cropped by some pixels still count as the same aspect


@dataclass(frozen=True, eq=False)
class Camera:
    """A lens, as in ``sensor_msgs/CameraInfo``.

    Attributes:
        matrix: (3, 3), pixels.
        distortion: coefficients in OpenCV's order: (4,), (5,) or (8,) of ``plumb_bob`` and ``rational_polynomial``,
            (4,) of ``equidistant``, the fisheye model.
        equidistant: which of the two.
    """

    matrix: Matrix
    distortion: Matrix
    equidistant: bool = False


@dataclass(frozen=True, eq=False)
class Extrinsics:
    """From thermal to visible camera coordinates (x right, y down, z ahead): X_visible = rotation X_thermal + t.

    Attributes:
        rotation: (3, 3).
        translation_m: (3,).
    """

    rotation: Matrix
    translation_m: Matrix


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
        thermal_camera: its lens, or None where images come rectified or without distortion worth the name.
        visible_camera: the same of the visible one. The registered image lies in its picture as it is, distorted.
        extrinsics: where the thermal camera is in the visible one, or None.
        plane_distance_m: distance of the plane that the homography is for, or None.
        time_offset_ms: what has to be added to thermal stamps so that they fit visible ones.
        time_offset_uncertainty_ms: standard deviation of it, or None.
        radiometry: radiometric scale of thermal counts: scale, offset, unit; or None.
        uncertainty_px: standard deviation of the corners, visible pixels, or None.
        made: how and when, by tools: strings and numbers.
        notes: by people.
    """

    H_thermal_to_visible: Matrix = field(default_factory=lambda: np.eye(3))
    thermal_size: Size | None = None
    visible_size: Size | None = None
    source: str = "identity"
    thermal_camera: Camera | None = None
    visible_camera: Camera | None = None
    extrinsics: Extrinsics | None = None
    plane_distance_m: float | None = None
    time_offset_ms: float = 0.0
    radiometry: dict[str, Any] | None = None
    uncertainty_px: float | None = None
    made: dict[str, Any] = field(default_factory=dict)
    notes: str = ""
    time_offset_uncertainty_ms: float | None = None

    @property
    def time_offset_ns(self) -> int:
        """``time_offset_ms`` as the pairing takes it."""
        return round(self.time_offset_ms * 1e6)

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
        document = read_yaml(path, "rig file")
        try:
            return _parse(document, str(path))
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
        self.require_aspects(thermal_size, visible_size)
        if self.thermal_size is None or self.visible_size is None:
            return scaling(thermal_size, visible_size)
        return (
            scaling(self.visible_size, visible_size)
            @ self.H_thermal_to_visible
            @ scaling(thermal_size, self.thermal_size)
        )

    def require_aspects(self, thermal_size: Size, visible_size: Size) -> None:
        """Refuse images that are not those of calibration, scaled; arguments as for ``homography``.

        Raises:
            ValueError: as ``homography``.
        """
        if self.thermal_size is not None and self.visible_size is not None:
            self._check_aspect("thermal", self.thermal_size, thermal_size)
            self._check_aspect("visible", self.visible_size, visible_size)

    def homography_at(self, distance_m: float) -> Matrix:
        """The homography of a plane parallel to the thermal image at a distance, (3, 3), for the sizes of calibration.

        H = K_v (R + t n^T / d) K_t^-1 with n along the thermal camera's axis (Hartley and Zisserman, 13.1). It maps
        undistorted pixels.

        Raises:
            ValueError: the rig has no intrinsics or extrinsics, or the distance is not above 0.
        """
        if self.thermal_camera is None or self.visible_camera is None or self.extrinsics is None:
            raise ValueError(f"rig {self.source} has no intrinsics and extrinsics; its homography is all there is")
        if not (math.isfinite(distance_m) and distance_m > 0):
            raise ValueError(f"the plane's distance is {distance_m} m; expected more than 0")
        plane = self.extrinsics.rotation + np.outer(self.extrinsics.translation_m, (0, 0, 1)) / distance_m
        homography = self.visible_camera.matrix @ plane @ np.linalg.inv(self.thermal_camera.matrix)
        return np.asarray(homography / homography[2, 2])

    def at(self, distance_m: float) -> Rig:
        """The same rig with the map of a plane at another distance.

        Raises:
            ValueError: as ``homography_at``.
        """
        return replace(self, H_thermal_to_visible=self.homography_at(distance_m), plane_distance_m=distance_m)

    def save(self, path: Path) -> None:
        """Write the rig file, whole or not at all; an existing one is replaced.

        Raises:
            ValueError: what is to be written would not be read again.
            OSError: it cannot be written.
        """
        document = self._document()
        _parse(document, str(path))
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "version": VERSION,
            "H_thermal_to_visible": self.H_thermal_to_visible.tolist(),
            "thermal_size": self.thermal_size and list(self.thermal_size),
            "visible_size": self.visible_size and list(self.visible_size),
            "plane_distance_m": self.plane_distance_m,
            "time_offset_ms": self.time_offset_ms,
            "time_offset_uncertainty_ms": self.time_offset_uncertainty_ms,
            "radiometry": self.radiometry,
            "uncertainty_px": self.uncertainty_px,
            "made": self.made or None,
            "notes": self.notes or None,
        }
        for key, camera in (("thermal_camera", self.thermal_camera), ("visible_camera", self.visible_camera)):
            if camera is not None:
                document[key] = {"matrix": camera.matrix.tolist(), "distortion": camera.distortion.tolist()}
                if camera.equidistant:
                    document[key]["model"] = _EQUIDISTANT
        if self.extrinsics is not None:
            rotation, translation = self.extrinsics.rotation.tolist(), self.extrinsics.translation_m.tolist()
            document["extrinsics"] = {"rotation": rotation, "translation_m": translation}
        return {key: value for key, value in document.items() if value is not None}

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


def translation(x: float, y: float) -> Matrix:
    """The matrix that moves pixel coordinates by (x, y), (3, 3) float64."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _parse(document: Any, source: str) -> Rig:
    if not isinstance(document, dict):
        raise ValueError("expected keys and values, as in config/rigs/example.yaml")  # noqa: TRY004 (a user's fault)
    version = document.get("version")
    if isinstance(version, bool) or version != VERSION:
        raise ValueError(f"version is {shown(version)}; expected {VERSION}")
    unknown = sorted(str(key) for key in document if key not in _KEYS)
    if unknown:
        raise ValueError(f"unknown key {shown(unknown[0])}; expected {', '.join(sorted(_KEYS))}")
    if "H_thermal_to_visible" not in document:
        raise ValueError("H_thermal_to_visible is missing; expected three rows of three numbers, or identity")
    matrix, sizes = document["H_thermal_to_visible"], [_size(document, f"{c}_size") for c in ("thermal", "visible")]
    thermal_size, visible_size = sizes
    identity = isinstance(matrix, str) and matrix == "identity"
    more = _more(document)
    if identity and thermal_size is None and visible_size is None:
        return Rig(source=source, **more)
    for key, size in (("thermal_size", thermal_size), ("visible_size", visible_size)):
        if size is None:
            raise ValueError(f"{key} is missing; expected [width, height] of the images it was made for")
    assert thermal_size is not None
    assert visible_size is not None
    homography = scaling(thermal_size, visible_size) if identity else _matrix(matrix)
    _check_plausible(homography, thermal_size, visible_size)
    return Rig(homography, thermal_size, visible_size, source, **more)


def _more(document: dict[str, Any]) -> dict[str, Any]:
    """What a rig file may say besides the homography."""
    offset = _number(document, "time_offset_ms")
    for key in ("plane_distance_m", "uncertainty_px", "time_offset_uncertainty_ms"):
        value = _number(document, key)
        if value is not None and (value < 0 or (value == 0 and key == "plane_distance_m")):
            raise ValueError(f"{key} is {value}; expected a number above 0")
    for key in ("radiometry", "made"):
        if not isinstance(document.get(key) or {}, dict):
            found = shown(document[key])
            raise ValueError(f"{key} is {found}; expected keys and values")  # noqa: TRY004 (a user's fault)
    return {
        "thermal_camera": _camera(document, "thermal_camera"),
        "visible_camera": _camera(document, "visible_camera"),
        "extrinsics": _extrinsics(document),
        "plane_distance_m": _number(document, "plane_distance_m"),
        "time_offset_ms": 0.0 if offset is None else offset,
        "time_offset_uncertainty_ms": _number(document, "time_offset_uncertainty_ms"),
        "radiometry": _radiometry(document.get("radiometry")),
        "uncertainty_px": _number(document, "uncertainty_px"),
        "made": document.get("made") or {},
        "notes": str(document.get("notes") or ""),
    }


def _number(document: dict[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    if not is_finite_number(value):
        raise ValueError(f"{key} is {shown(value)}; expected a finite number")
    return float(value)


def _array(section: Any, name: str, key: str, shapes: tuple[tuple[int, ...], ...]) -> Matrix:
    expected = f"expected the shape {' or '.join(str(shape) for shape in shapes)} of finite numbers"
    try:
        array = np.array(section[key], np.float64)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        raise ValueError(f"{name} has no usable {key}; {expected}") from None
    if array.shape not in shapes or not np.isfinite(array).all():
        raise ValueError(f"{name}: {key} has the shape {array.shape} or is not finite; {expected}")
    return array


def _camera(document: dict[str, Any], name: str) -> Camera | None:
    if document.get(name) is None:
        return None
    matrix = _array(document[name], name, "matrix", ((3, 3),))
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.array_equal(matrix[2], (0, 0, 1))):
        raise ValueError(f"{name}: matrix is no camera matrix (all zeros means uncalibrated); expected fx, fy above 0")
    model = document[name].get("model")
    if model not in (None, _EQUIDISTANT):
        raise ValueError(f"{name}: model is {shown(model)}; expected equidistant, or none for that of OpenCV")
    shapes = ((4,), (5,), (8,)) if model is None else ((4,),)
    return Camera(matrix, _array(document[name], name, "distortion", shapes), model is not None)


def _extrinsics(document: dict[str, Any]) -> Extrinsics | None:
    section = document.get("extrinsics")
    if section is None:
        return None
    rotation = _array(section, "extrinsics", "rotation", ((3, 3),))
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) or np.linalg.det(rotation) < 0:
        raise ValueError("extrinsics: rotation is no rotation matrix; expected an orthonormal one")
    return Extrinsics(rotation, _array(section, "extrinsics", "translation_m", ((3,),)))


def _radiometry(section: Any) -> dict[str, Any] | None:
    if not section:
        return None
    unknown = sorted(str(key) for key in section if key not in ("scale", "offset", "unit"))
    if unknown:
        raise ValueError(f"radiometry has the unknown key {shown(unknown[0])}; expected scale, offset, unit")
    scale, offset = _number(section, "scale"), _number(section, "offset")
    unit = section.get("unit", "kelvin")
    if scale is None or scale <= 0 or unit not in ("kelvin", "celsius"):
        raise ValueError(f"radiometry is {shown(section)}; expected a scale above 0, an offset, unit kelvin or celsius")
    return {"scale": scale, "offset": offset or 0.0, "unit": unit}


def _size(document: dict[str, Any], key: str) -> Size | None:
    value = document.get(key)
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= _LONGEST for side in value)
    ):
        raise ValueError(f"{key} is {shown(value)}; expected [width, height], two whole numbers from 1 to {_LONGEST}")
    return value[0], value[1]


def _matrix(value: Any) -> Matrix:
    expected = "expected three rows of three finite numbers, or identity"
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"H_thermal_to_visible is {shown(value)}; {expected}") from None
    if matrix.shape != (3, 3):
        raise ValueError(f"H_thermal_to_visible has the shape {matrix.shape}; {expected}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"H_thermal_to_visible has an entry that is not finite; {expected}")
    return matrix


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # entries of 1e300 are refused below
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
