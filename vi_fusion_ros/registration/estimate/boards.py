"""Calibration boards: checkerboard, asymmetric circles and ChArUco, found in images of either contrast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.planar import Points
from vi_fusion_ros.registration.structure import grey8
from vi_fusion_ros.types import Image

KINDS = ("checkerboard", "circles", "charuco")

_LEAST_CORNERS = 6
_BLANK = 3.0  # grey levels
_PART = (3, 3)  # corners: the least part of a checkerboard that is looked for
_CHANCE = 12  # corners: images without a board have grids of 4x3, and no larger ones
_SMOOTHING_PX, _AROUND = 1.0, 1 / 16  # of faint images; the latter of the larger side
_GAIN, _FAINTEST = 60.0, 1.0  # grey levels: of the result a standard deviation, and of what is noise
_SMALL = 500  # pixels of width; smaller images are doubled for ChArUco, whose markers need some pixels a cell


@dataclass(frozen=True)
class Board:
    """A flat board.

    Attributes:
        kind: one of ``KINDS``.
        columns: inner corners of a checkerboard in a row; circles in a row; squares of a ChArUco board in a row.
        rows: the same from top to bottom.
        square_m: side of a square; of circles the distance of neighbours in x within a row is twice that (OpenCV's
            asymmetric grid). Metres.
        marker_m: side of a ChArUco marker, metres.
        dictionary: of the ChArUco markers, as OpenCV names it, for example ``DICT_4X4_50``.

    Raises:
        ValueError: a board that cannot be.
    """

    kind: str
    columns: int
    rows: int
    square_m: float
    marker_m: float = 0.0
    dictionary: str = "DICT_4X4_50"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"board '{self.kind}' is unknown; expected {', '.join(KINDS)}")
        if min(self.columns, self.rows) < 3:
            raise ValueError(f"a board of {self.columns}x{self.rows} is too small; expected 3x3 or more")
        if self.kind == "checkerboard" and self.columns == self.rows:
            raise ValueError(
                f"a checkerboard of {self.columns}x{self.rows} looks the same turned by 90 degrees; expected columns "
                "and rows that differ (they count inner corners)"
            )
        if not (np.isfinite(self.square_m) and self.square_m > 0):
            raise ValueError(f"the board's square is {self.square_m} m; expected more than 0")
        if self.kind == "charuco":
            if not 0 < self.marker_m < self.square_m:
                raise ValueError(
                    f"the board's marker is {self.marker_m} m; expected more than 0 and less than a square"
                )
            if not (self.dictionary.startswith("DICT_") and hasattr(_aruco(), self.dictionary)):
                raise ValueError(f"marker dictionary '{self.dictionary}' is unknown; expected for example DICT_4X4_50")

    @property
    def points_m(self) -> Points:
        """All its points, (n, 3), metres, z = 0, x along the rows; a point's index is its id."""
        if self.kind == "charuco":
            columns, rows = self.columns - 1, self.rows - 1
        else:
            columns, rows = self.columns, self.rows
        row, column = np.divmod(np.arange(columns * rows), columns)
        x = 2 * column + row % 2 if self.kind == "circles" else column
        return np.stack([x, row, np.zeros(len(row))], 1) * self.square_m


@dataclass(frozen=True, eq=False)
class Detection:
    """A board found in an image.

    Attributes:
        ids: (n,), which of the board's points.
        points: (n, 2), (x, y) in pixels of the image, to a fraction of a pixel.
        inverted: whether it was found in the negative: a heated board, dark where the visible one is bright. Not known
            of checkerboards.
    """

    ids: npt.NDArray[np.int64]
    points: Points
    inverted: bool


def detect(board: Board, image: Image) -> Detection | None:
    """Find a board in an image of any depth.

    The image is looked at as it is, with its contrast raised, and with its local mean and contrast taken out. Circles
    and markers are looked for in the negatives of these, too; a checkerboard is found in either alike.

    The ids of a checkerboard may be those of the board turned by 180 degrees: it looks the same. ``turned`` puts that
    right.
    """
    grey = grey8(image).astype(np.uint8)
    if _span(grey) < _BLANK:
        return None
    zoom = 2 if board.kind == "charuco" and grey.shape[1] < _SMALL else 1
    if zoom > 1:
        grey = np.asarray(cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC))
    for candidate, inverted in _variants(board, grey):
        found = _FINDERS[board.kind](board, candidate)
        if found is not None and len(found[0]) >= _LEAST_CORNERS:
            # Pixels are areas: the doubled image's pixel 2x + 0.5 is the middle of pixel x.
            return Detection(found[0], (found[1].astype(np.float64) + 0.5) / zoom - 0.5, inverted)
    return None


def fault(board: Board, image: Image) -> str:
    """Why ``detect`` finds no board in an image of any depth, as far as the image tells; part of a sentence."""
    grey = grey8(image).astype(np.uint8)
    if _span(grey) < _BLANK:
        return f"it is blank, {_span(grey):.0f} grey levels from dark to bright"
    clear = _levelled(grey)
    if board.kind == "circles":
        spots = max(len(_spots(one.size).detect(one)) for one in (clear, 255 - clear))
        return f"no grid of {board.columns}x{board.rows} circles among {spots} spots"
    if board.kind == "charuco":
        numbers = [len(found[0]) for one, _ in _variants(board, grey) if (found := _charuco(board, one)) is not None]
        return f"{max(numbers, default=0)} of {len(board.points_m)} corners found, expected {_LEAST_CORNERS} or more"
    found, _, grid = cv2.findChessboardCornersSBWithMeta(clear, _PART, cv2.CALIB_CB_LARGER)
    if not found or grid is None or grid.shape[0] * grid.shape[1] <= _CHANCE:
        return f"no grid of {board.columns}x{board.rows} corners: it is not there, blurred or too faint"
    less, more = sorted(grid.shape[:2])
    return (
        f"a grid of {more}x{less} corners found, expected {board.columns}x{board.rows}: part of it is hidden, outside "
        "or as warm as what is beside it, or columns and rows are not those of the board"
    )


def _span(grey: npt.NDArray[np.uint8]) -> float:
    """Grey levels from the darkest thousandth to the brightest."""
    low, high = np.percentile(grey, (0.1, 99.9))
    return float(high - low)


def turned(board: Board, detection: Detection, like: Detection) -> Detection:
    """A checkerboard's detection with its ids in the sense that another camera sees it in.

    The cameras must not be turned by more than 90 degrees about their axes against each other.
    """
    if board.kind != "checkerboard":
        return detection
    along, other = (each.points[-1] - each.points[0] for each in (detection, like))
    if along @ other >= 0:
        return detection
    return Detection(detection.ids, np.asarray(detection.points[::-1]), detection.inverted)


def _variants(board: Board, grey: npt.NDArray[np.uint8]) -> Iterator[tuple[npt.NDArray[np.uint8], bool]]:
    """What is looked at, and whether it is a negative; checkerboards are found in the positive as well."""
    ways = (
        lambda: grey,
        lambda: np.asarray(cv2.createCLAHE(4.0, (4, 4)).apply(grey)),
        lambda: _levelled(grey),
    )
    for way in ways:
        clear = way()
        yield clear, False
        if board.kind != "checkerboard":
            yield 255 - clear, True


def _levelled(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image with its local mean and contrast taken out: faint boards before whatever is beside them."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _SMOOTHING_PX)
    reach = max(grey.shape) * _AROUND
    mean, square = (cv2.GaussianBlur(image, (0, 0), reach) for image in (smooth, smooth * smooth))
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.clip(128 + _GAIN * (smooth - mean) / (deviation + _FAINTEST), 0, 255).astype(np.uint8)


Found = tuple[npt.NDArray[np.int64], Points]


def _checkerboard(board: Board, grey: npt.NDArray[np.uint8]) -> Found | None:
    # Without CALIB_CB_NORMALIZE_IMAGE: it loses faint boards before bright surroundings, which thermal ones are.
    found, corners = cv2.findChessboardCornersSB(grey, (board.columns, board.rows), flags=cv2.CALIB_CB_ACCURACY)
    return (np.arange(len(corners)), _refined(board, grey, corners)) if found else None


def _refined(board: Board, grey: npt.NDArray[np.uint8], corners: npt.NDArray[np.float32]) -> Points:
    """Corners moved to where the gradients around them meet: on tilted boards the detector is off by 0.2 pixels."""
    grid = corners.reshape(board.rows, board.columns, 2)
    sides = [np.linalg.norm(np.diff(grid, axis=axis), axis=2).min() for axis in (0, 1)]
    reach = max(2, int(min(sides) / 3))
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    return np.asarray(cv2.cornerSubPix(grey, corners, (reach, reach), (-1, -1), stop).reshape(-1, 2))


def _circles(board: Board, grey: npt.NDArray[np.uint8]) -> Found | None:
    flags = cv2.CALIB_CB_ASYMMETRIC_GRID | cv2.CALIB_CB_CLUSTERING
    for spots in (cv2.SimpleBlobDetector_create(), _spots(grey.size)):
        found, centres = cv2.findCirclesGrid(grey, (board.columns, board.rows), flags=flags, blobDetector=spots)
        if found:
            return np.arange(len(centres)), centres.reshape(-1, 2)
    return None


def _spots(pixels: int) -> cv2.SimpleBlobDetector:
    """Finds dark spots that the default leaves out: small, blurred, tilted, or close to each other."""
    wanted = cv2.SimpleBlobDetector_Params()
    wanted.minThreshold, wanted.maxThreshold, wanted.thresholdStep = 20, 235, 10
    wanted.minArea, wanted.maxArea = 12, pixels / 60
    wanted.minDistBetweenBlobs = 4
    wanted.minConvexity, wanted.minInertiaRatio = 0.85, 0.15
    return cv2.SimpleBlobDetector_create(wanted)


def _charuco(board: Board, grey: npt.NDArray[np.uint8]) -> Found | None:
    aruco = _aruco()
    size = (board.columns, board.rows)
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, board.dictionary))
    if hasattr(aruco, "CharucoDetector"):
        detector = aruco.CharucoDetector(aruco.CharucoBoard(size, board.square_m, board.marker_m, dictionary))
        corners, ids, _, _ = detector.detectBoard(grey)
    else:  # OpenCV before 4.7, as on Ubuntu 22.04 and 24.04
        plan = aruco.CharucoBoard_create(*size, board.square_m, board.marker_m, dictionary)
        markers, marker_ids, _ = aruco.detectMarkers(grey, dictionary)
        if marker_ids is None:
            return None
        _, corners, ids = aruco.interpolateCornersCharuco(markers, marker_ids, grey, plan)
    return None if ids is None else (ids.ravel().astype(np.int64), corners.reshape(-1, 2))


def _aruco() -> Any:
    if not hasattr(cv2, "aruco"):
        raise ValueError("this OpenCV has no aruco module; install opencv-contrib-python, or use another board")
    return cv2.aruco


_FINDERS = {"checkerboard": _checkerboard, "circles": _circles, "charuco": _charuco}
