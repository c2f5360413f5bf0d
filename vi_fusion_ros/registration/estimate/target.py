"""Calibration with a board that both cameras see: both lenses, how the cameras lie to each other, and a plane's map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.estimate.boards import Board, Detection, detect, fault, turned
from vi_fusion_ros.registration.estimate.bundle import Cameras, Known, Sighting, adjust, pose, projected, settled
from vi_fusion_ros.registration.lenses import to_visible
from vi_fusion_ros.registration.planar import Points, corners
from vi_fusion_ros.registration.rig import Camera, Rig, Size
from vi_fusion_ros.types import Image

LEAST_VIEWS = 6
"""Seen by both cameras, after bad ones are rejected."""

_LEAST_SHARED = 6  # points of a view that both cameras see
_MOST_OFF = 3.0  # a view is rejected where its error is that many times the median's ...
_SMALL_ERROR_PX = 0.3  # ... and above this
_MOST_REJECTED = 0.4  # share of the views
_CONTRADICTS = 1.5  # times the error of a lens of their own at which views contradict a given one
_MOST_F = 4.6  # of 4 degrees of freedom and many: chance exceeds it once in a thousand
_TOLERATED = 0.02  # of the focal length: factory values of a lens of the same make are off by that
_NO_ERROR_PX = 0.01  # corners are not found better, not even in a rendered image
_LOOSE = 0.1  # a focal length with a larger relative standard deviation is not determined
_FOLDS = 5
_WIN = 0.99  # the third has to lower the error of held-back views to this share

CAMERAS = ("thermal", "visible")


@dataclass(frozen=True, eq=False)
class View:
    """One moment of the board.

    Attributes:
        name: for reports.
        thermal: what the thermal camera sees of it, or None.
        visible: the same of the visible one.
        fault: why one of them does not see it, one sentence; empty where both do, or where it is not known.
    """

    name: str
    thermal: Detection | None
    visible: Detection | None
    fault: str = ""


Views = Sequence[View]


@dataclass(frozen=True)
class ViewReport:
    """How well a view fits.

    Attributes:
        name: of the view.
        thermal_px: rms reprojection error in the thermal image, None where the view took no part.
        visible_px: the same of the visible image.
        transfer_px: rms distance in the visible image of the board's points carried over from the thermal one, by a
            calibration made without this view; None where the view took no part.
        inverted: whether the thermal image showed the board in negative.
        rejected: why the view took no part; empty where it did.
    """

    name: str
    thermal_px: float | None
    visible_px: float | None
    transfer_px: float | None
    inverted: bool
    rejected: str = ""


@dataclass(frozen=True, eq=False)
class TargetCalibration:
    """The outcome.

    Attributes:
        rig: for a plane parallel to the thermal image at the distance asked for, with the uncertainty of its corners
            over resampled views.
        views: all of them, in the order given.
        used: those that took part.
        held_back_px: transfer errors of these, each by a calibration without it.
        fitted_px: the same, with it.
    """

    rig: Rig
    views: tuple[ViewReport, ...]
    used: tuple[View, ...]
    held_back_px: npt.NDArray[np.float64]
    fitted_px: npt.NDArray[np.float64]


def look(board: Board, images: Iterable[tuple[str, Image, Image]]) -> Iterator[View]:
    """Look for the board in images of both cameras, as they come.

    Args:
        board: what to look for.
        images: name, visible and thermal image, of any depth.

    Yields:
        One view for each pair, also where a camera does not see the board.
    """
    for name, visible_image, thermal_image in images:
        visible, thermal = detect(board, visible_image), detect(board, thermal_image)
        if visible is not None and thermal is not None:
            thermal = turned(board, thermal, visible)
        faults = [
            f"no board found in the {camera} image: {fault(board, image)}"
            for camera, image, found in (("thermal", thermal_image, thermal), ("visible", visible_image, visible))
            if found is None
        ]
        yield View(name, thermal, visible, "; ".join(faults))


def find(board: Board, images: Iterable[tuple[str, Image, Image]]) -> list[View]:
    """As ``look``, all of them."""
    return list(look(board, images))


def calibrate(
    views: Views,
    board: Board,
    thermal_size: Size,
    visible_size: Size,
    plane_distance_m: float,
    known: Known = (None, None),
) -> TargetCalibration:
    """Lenses and extrinsics together, from the views of the board that both cameras have; bad views are rejected.

    OpenCV's ``calibrateCamera`` (Zhang 2000) for a start, then a bundle adjustment over everything.

    Args:
        views: from ``find``.
        board: what they show.
        thermal_size: (width, height).
        visible_size: (width, height).
        plane_distance_m: of the plane that the rig's homography is for.
        known: thermal and visible lens that are held fixed; None: found here.

    Raises:
        ValueError: too few views, or views that leave the lenses open, or that contradict a known one.
    """
    good = [view for view in views if len(_sighting(view, board).flat) >= _LEAST_SHARED]
    thermal, visible = (sum(getattr(view, camera) is not None for view in views) for camera in CAMERAS)
    _check_enough(good, f"{thermal} of {len(views)} thermal and {visible} visible images have it{_most_often(views)}")
    seen = [_sighting(view, board) for view in good]
    thermal_lens, visible_lens = (
        _lens(name, seen, size) if given is None else _uncontradicted(name, given, seen, size)
        for name, size, given in zip(CAMERAS, (thermal_size, visible_size), known, strict=True)
    )
    most, rejected = round(_MOST_REJECTED * len(good)), dict[str, str]()
    while True:
        cameras = adjust([_sighting(view, board) for view in good], thermal_lens, visible_lens, 2, known)
        worst = _worst(cameras.errors_px)
        if worst is None or len(rejected) == most:
            break
        rejected[good[worst[0]].name] = worst[1]
        good = [view for number, view in enumerate(good) if number != worst[0]]
        _check_enough(good, f"{len(rejected)} more were rejected")
    sightings = [_sighting(view, board) for view in good]
    radial, folds, held_back = _lens_model(sightings, cameras, known)
    cameras = adjust(sightings, cameras.thermal, cameras.visible, radial, known)
    fitted = np.array([_transfer_px(cameras, sighting) for sighting in sightings])
    sizes = (thermal_size, visible_size)
    rig = _rig(cameras, sizes, plane_distance_m)
    rig = replace(rig, uncertainty_px=_uncertainty(rig, [_rig(fold, sizes, plane_distance_m) for fold in folds]))
    reports = _reports(views, good, cameras, held_back, rejected)
    return TargetCalibration(rig, reports, tuple(good), held_back, fitted)


def transfer_px(rig: Rig, board: Board, views: Views) -> npt.NDArray[np.float64]:
    """How far off a rig puts the board of each view, rms over its points, visible pixels.

    With extrinsics, the thermal image says where the board is, and the points are projected into the visible one.
    Without, the rig's map carries the thermal points over: right at one distance only.
    """
    sightings = [_sighting(view, board) for view in views]
    if rig.thermal_camera is not None and rig.visible_camera is not None and rig.extrinsics is not None:
        cameras = Cameras(rig.thermal_camera, rig.visible_camera, rig.extrinsics, np.zeros((0, 2)))
        return np.array([_transfer_px(cameras, sighting) for sighting in sightings])
    return np.array([_rms(to_visible(rig, sighting.thermal) - sighting.visible) for sighting in sightings])


def _check_enough(views: Views, why: str) -> None:
    if len(views) < LEAST_VIEWS:
        raise ValueError(
            f"{len(views)} views show the board to both cameras ({why}); expected {LEAST_VIEWS} or more, tilted and "
            "all over the image: are the board's kind, columns and rows right?"
        )


def _most_often(views: Views) -> str:
    """Why most views show no board, part of a sentence."""
    faults = Counter(view.fault for view in views if view.fault)
    return f"; most often: {faults.most_common(1)[0][0]}" if faults else ""


def _sighting(view: View, board: Board) -> Sighting:
    """The points that both cameras see; none where one of them does not see the board."""
    if view.thermal is None or view.visible is None:
        return Sighting(np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 2)))
    ids, thermal, visible = np.intersect1d(view.thermal.ids, view.visible.ids, return_indices=True)
    return Sighting(board.points_m[ids], view.thermal.points[thermal], view.visible.points[visible])


def _uncontradicted(name: str, known: Camera, sightings: Sequence[Sighting], size: Size) -> Camera:
    """The known lens, unless the views would have another one beyond what chance and the tolerance of lenses explain.

    Focal lengths and middle: an F-test of the squared reprojection error, the poses alone free, against the one with
    ``fx, fy, cx, cy`` free as well. Everything else: the error of a whole lens of their own.
    """
    seen = [(sighting.flat, getattr(sighting, name)) for sighting in sightings]
    count = sum(points.size for _, points in seen)
    (_, held), (moved, free) = (settled(known, seen, free) for free in (False, True))
    left = count - 6 * len(seen) - 4
    if left > 0 and np.isfinite(held + free):
        chance = (held - free) / 4 / (free / left + _NO_ERROR_PX**2)
        off = np.abs(moved.matrix - known.matrix)[:2].max() / known.matrix[0, 0]
        if chance > _MOST_F and off > _TOLERATED:
            given, found = (float(np.sqrt(2 * square / count)) for square in (held, free))
            more = f"; F = {chance:.0f}, chance: {_MOST_F:g}"
            raise ValueError(_contradiction(name, known, moved, given, found, more))
    try:
        own = _lens(name, sightings, size)
    except ValueError:  # the views leave it open, so they contradict none
        return known
    given, found = (
        float(np.median([_reprojection_px(lens, s.flat, getattr(s, name)) for s in sightings])) for lens in (known, own)
    )
    if given > _CONTRADICTS * found + _NO_ERROR_PX:
        raise ValueError(_contradiction(name, known, own, given, found, ""))
    return known


def _contradiction(name: str, known: Camera, own: Camera, given_px: float, own_px: float, more: str) -> str:
    return (
        f"the views contradict the given intrinsics of the {name} camera: their reprojection error is {given_px:.2f} "
        f"px with them and {own_px:.2f} px with a lens of {own.matrix[0, 0]:.0f} px focal length found from the views "
        f"(given: {known.matrix[0, 0]:.0f} px){more}; is the file of this camera, lens and resolution?"
    )


def _reprojection_px(lens: Camera, flat: Points, seen: Points) -> float:
    placed = pose(lens, flat, seen)
    if placed is None:
        return float("inf")
    return _rms(projected(lens, flat, placed[:3], placed[3:])[0] - seen)


def _lens(name: str, sightings: Sequence[Sighting], size: Size) -> Camera:
    """A camera alone."""
    flat = [sighting.flat.astype(np.float32) for sighting in sightings]
    seen = [getattr(sighting, name).astype(np.float32) for sighting in sightings]
    try:
        _, matrix, distortion, _, _, deviations, _, _ = cv2.calibrateCameraExtended(
            flat, seen, size, None, None, flags=cv2.CALIB_FIX_K3
        )
    except cv2.error:
        matrix, distortion, deviations = np.eye(3), np.zeros(5), np.full(2, np.inf)
    focal, loose = np.diag(matrix)[:2], deviations.ravel()[:2]
    if not (0.2 * max(size) < focal.min() and focal.max() < 50 * max(size) and (loose < _LOOSE * focal).all()):
        raise ValueError(
            f"the views do not determine the focal length of the {name} camera; tilt the board more, and show it all "
            "over the image"
        )
    return Camera(matrix, distortion.ravel()[:5])


def _worst(errors_px: npt.NDArray[np.float64]) -> tuple[int, str] | None:
    """The view that is furthest off, and why, where it is far off."""
    medians = np.median(errors_px, axis=0)
    times = np.where(errors_px > _SMALL_ERROR_PX, errors_px / np.maximum(medians, 1e-6), 0)
    view, camera = (int(index) for index in np.unravel_index(times.argmax(), times.shape))
    if times[view, camera] <= _MOST_OFF:
        return None
    return view, (
        f"{CAMERAS[camera]} reprojection error of {errors_px[view, camera]:.2f} px, the median is {medians[camera]:.2f}"
    )


def _lens_model(
    sightings: Sequence[Sighting], cameras: Cameras, known: Known
) -> tuple[int, list[Cameras], npt.NDArray[np.float64]]:
    """How many radial coefficients win on views held back, what each fold gives, and these views' transfer errors."""
    two = _held_back(sightings, cameras, 2, known)
    if None not in known:
        return (2, *two)
    three = _held_back(sightings, cameras, 3, known)
    return (3, *three) if np.median(three[1]) < _WIN * np.median(two[1]) else (2, *two)


def _held_back(
    sightings: Sequence[Sighting], cameras: Cameras, radial: int, known: Known
) -> tuple[list[Cameras], npt.NDArray[np.float64]]:
    """Calibrations without a fold each, and the transfer error of each view by the one that lacks it."""
    folds, errors = [], np.zeros(len(sightings))
    for first in range(_FOLDS):
        rest = [sighting for number, sighting in enumerate(sightings) if number % _FOLDS != first]
        without = adjust(rest, cameras.thermal, cameras.visible, radial, known)
        errors[first::_FOLDS] = [_transfer_px(without, sighting) for sighting in sightings[first::_FOLDS]]
        folds.append(without)
    return folds, errors


def _transfer_px(cameras: Cameras, sighting: Sighting) -> float:
    placed = pose(cameras.thermal, sighting.flat, sighting.thermal)
    if placed is None:
        return float("inf")
    seen = sighting.flat @ cv2.Rodrigues(placed[:3])[0].T + placed[3:]
    moved = seen @ cameras.extrinsics.rotation.T + cameras.extrinsics.translation_m
    return _rms(projected(cameras.visible, moved, np.zeros(3), np.zeros(3))[0] - sighting.visible)


def _uncertainty(rig: Rig, folds: Sequence[Rig]) -> float:
    """Standard deviation of the corners by the jackknife over the folds (Efron 1982), visible pixels."""
    assert rig.thermal_size is not None
    outline = corners(rig.thermal_size)
    spread = np.array([to_visible(fold, outline) for fold in folds])
    square = ((spread - spread.mean(0)) ** 2).sum(2).mean(1)
    return float(np.sqrt((len(folds) - 1) / len(folds) * square.sum()))


def _rig(cameras: Cameras, sizes: tuple[Size, Size], distance_m: float) -> Rig:
    rig = Rig(np.eye(3), *sizes, "target", cameras.thermal, cameras.visible, cameras.extrinsics, distance_m)
    return replace(rig, H_thermal_to_visible=rig.homography_at(distance_m))


def _reports(
    views: Views,
    used: Views,
    cameras: Cameras,
    held_back: npt.NDArray[np.float64],
    rejected: dict[str, str],
) -> tuple[ViewReport, ...]:
    number = {view.name: index for index, view in enumerate(used)}
    reports = []
    for view in views:
        inverted = view.thermal is not None and view.thermal.inverted
        index = number.get(view.name)
        if index is None:
            reports.append(ViewReport(view.name, None, None, None, inverted, rejected.get(view.name) or _unseen(view)))
        else:
            thermal, visible = (float(error) for error in cameras.errors_px[index])
            reports.append(ViewReport(view.name, thermal, visible, float(held_back[index]), inverted))
    return tuple(reports)


def _unseen(view: View) -> str:
    if view.fault:
        return view.fault
    missing = [camera for camera, found in (("thermal", view.thermal), ("visible", view.visible)) if found is None]
    if missing:
        return f"no board found in the {' and the '.join(missing)} image"
    return "the cameras see too few points of the board in common"


def _rms(off: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((off**2).sum(1).mean()))
