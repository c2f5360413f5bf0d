"""How far ``calibrate scene`` is off: pairs of RoadScene one by one, and pairs put through one known rig together."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.registration.estimate.matching import ImagePair, vertex
from vi_fusion_ros.registration.estimate.scene import calibrate
from vi_fusion_ros.registration.estimate.time import Motion, time_offset
from vi_fusion_ros.registration.planar import corner_error, equal_width, fit, inverse, transform
from vi_fusion_ros.registration.rig import Matrix, Size, scaling
from vi_fusion_ros.sources.video import Video
from vi_fusion_ros.types import Image

TOGETHER = 20
"""Pairs that share a rig."""

ROADSCENE_CROP: Size = (480, 288)
"""Middle of the registered frames, (width, height): these differ in size, and one rig has one."""

CLIPS = ("0113_1714", "0117_1605", "1230_1202")
SCALES = np.arange(0.98, 1.0201, 0.005)
DELAYS_MS = (-120, -75, -50, -10, 0, 10, 50, 75, 120)

CHOSEN_ON = 100
"""The first frames of RoadScene, to choose the method on; docs/registration.md says which others had a say."""

_SLACK_PX = 0.5  # further from the truth than the start by less than that is not worse

RIG = np.array([[0.93, 0.03, 0.025], [-0.025, 0.95, 0.03], [0.01, -0.005, 1]])
"""The known rig, thermal to visible, for images of width 1: a turn, unequal scale, a shift and perspective."""


@dataclass(frozen=True)
class RoadScenePair:
    """A pair of RoadScene.

    Attributes:
        name: of the frame.
        visible: (H, W, 3) registered.
        thermal: (H, W) registered.
        visible_full: the same view at full resolution.
        thermal_raw: (512, 640) as it came from the camera.
        full_to_raw: (3, 3), the given registration: ``visible_full`` to ``thermal_raw`` pixels.
    """

    name: str
    visible: Image
    thermal: Image
    visible_full: Image
    thermal_raw: Image
    full_to_raw: Matrix


class Clock:
    """How long something takes from now on."""

    def __init__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def taken(self) -> dict[str, float]:
        """``cpu_s`` of all threads, and ``wall_s``, which depends on what else the machine does."""
        return {"cpu_s": time.process_time() - self._began[0], "wall_s": time.perf_counter() - self._began[1]}


def roadscene(archive_path: Path) -> Iterator[RoadScenePair]:
    """The frames of ``roadscene_dev.zip``.

    Raises:
        ValueError: it is missing or is something else.
    """
    try:
        with zipfile.ZipFile(archive_path) as archive:
            for entry in json.loads(archive.read("frames.json")):
                yield _frame(archive, entry)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive_path} cannot be used as RoadScene's frames: {error}") from error


def m3svd_stills(archive_path: Path) -> list[tuple[str, Image, Image]]:
    """Name, visible and thermal image of the registered stills of ``m3svd_stills.zip``, scene after scene.

    Raises:
        ValueError: it is missing or is something else.
    """
    try:
        with zipfile.ZipFile(archive_path) as archive:
            names = sorted(name for name in archive.namelist() if name.startswith("visible/") and name.endswith(".jpg"))
            return [
                (name, _image(archive, name), _image(archive, name.replace("visible/", "thermal/", 1)))
                for name in names
            ]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive_path} cannot be used as M3SVD's stills: {error}") from error


def alone(frame: RoadScenePair) -> dict[str, Any]:
    """Calibrate from a single pair; a refused one keeps its start, plain rescaling to equal width.

    Returns:
        ``start_px`` and ``end_px``: mean distance of the corners of the visible image from the given registration,
        pixels of ``thermal_raw``; ``refused``; ``given_bend_px``: ``bend`` of the given registration.
    """
    pair = ImagePair.of(frame.visible_full, frame.thermal_raw, frame.name)
    start = inverse(equal_width(pair.visible_size, pair.thermal_size))
    clock = Clock()
    try:
        found, refused = inverse(calibrate([pair]).H_thermal_to_visible), False
    except ValueError:
        found, refused = start, True
    taken = clock.taken()
    start_px, end_px = (corner_error(one, frame.full_to_raw, pair.visible_size) for one in (start, found))
    return {
        "frame": frame.name, "start_px": start_px, "end_px": end_px, "refused": refused,
        "given_bend_px": bend(frame.full_to_raw, pair.visible_size), **taken,
    }  # fmt: skip


def bend(homography: Matrix, size: Size) -> float:
    """How far a map of an image of (width, height) is from the similarity nearest to it, mean of the corners, pixels.

    It is next to nothing, and the same for each pair, where two cameras look the same way and none of them is moved.
    """
    points = np.stack(np.meshgrid(*(np.linspace(0, side - 1, 12) for side in size)), -1).reshape(-1, 2)
    target, far = transform(homography, points), 10.0 * max(size)
    nearest = fit(points, target, np.ones(len(points)), homography, size, "similarity", (far, far), 0.0)[0]
    return corner_error(nearest, homography, size)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The distribution over the pairs of ``alone``.

    ``end_follows_given_bend`` is the rank correlation of ``end_px`` and ``given_bend_px``, -1 to 1, of what was not
    refused: near 1 the error is that of the given registration.
    """
    start, end = (np.array([row[key] for row in rows]) for key in ("start_px", "end_px"))
    quantiles = (10, 25, 50, 75, 90, 95, 100)
    bends = np.array([row["given_bend_px"] for row in rows])
    accepted = ~np.array([row["refused"] for row in rows])
    ranks = [of[accepted].argsort().argsort() for of in (end, bends)]
    return {
        "pairs": len(rows),
        "median_start_px": float(np.median(start)),
        "median_end_px": float(np.median(end)),
        "end_px_by_percentile": {str(q): float(np.percentile(end, q)) for q in quantiles},
        "refused": sum(row["refused"] for row in rows),
        "worse_than_start": int((end > start + _SLACK_PX).sum()),
        "given_bend_px_by_percentile": {str(q): float(np.percentile(bends, q)) for q in (10, 50, 90)},
        "end_follows_given_bend": float(np.corrcoef(*ranks)[0, 1]) if accepted.sum() > 1 else None,
        "median_cpu_s": float(np.median([row["cpu_s"] for row in rows])),
        "longest_cpu_s": float(np.max([row["cpu_s"] for row in rows])),
        "median_wall_s": float(np.median([row["wall_s"] for row in rows])),
    }


def together(pairs: Sequence[tuple[str, Image, Image]]) -> dict[str, Any]:
    """Calibrate from registered pairs of one size, as they are and put through ``RIG``.

    Returns:
        ``off_px``: of what was found from the rig, mean of the corners, visible pixels. ``as_given_px``: how far from
        the identity the calibration of the pairs as they are is: what the given registration and the method disagree
        about. ``relative_px``: of the found rig from the known one when the former is what was found beyond that.
        ``uncertainty_px`` as stated, and the ``model``. ``cpu_s`` and ``wall_s`` of the calibration through the rig.
    """
    size: Size = (pairs[0][1].shape[1], pairs[0][1].shape[0])
    rig = scaling((1, 1), (size[0], size[0])) @ RIG @ scaling((size[0], size[0]), (1, 1))
    rig /= rig[2, 2]
    plain_pairs, moved_pairs = (
        [ImagePair.of(visible, _seen_by(thermal, known), name) for name, visible, thermal in pairs]
        for known in (np.eye(3), rig)
    )
    plain = calibrate(plain_pairs)
    clock = Clock()
    moved = calibrate(moved_pairs)
    taken = clock.taken()
    return {
        "pairs": len(pairs),
        "size": list(size),
        "off_px": corner_error(moved.H_thermal_to_visible, rig, size),
        "as_given_px": corner_error(plain.H_thermal_to_visible, np.eye(3), size),
        "relative_px": corner_error(inverse(plain.H_thermal_to_visible) @ moved.H_thermal_to_visible, rig, size),
        "uncertainty_px": moved.uncertainty_px,
        "model": moved.model,
        **taken,
    }


def middle(frame: RoadScenePair) -> tuple[str, Image, Image] | None:
    """The middle of the registered images in the size ``ROADSCENE_CROP``; None where they are smaller."""
    (width, height), (h, w) = ROADSCENE_CROP, frame.visible.shape[:2]
    if w < width or h < height:
        return None
    y, x = (h - height) // 2, (w - width) // 2
    inner = np.s_[y : y + height, x : x + width]
    return frame.name, frame.visible[inner], frame.thermal[inner]


def disjoint(pairs: Sequence[Any]) -> list[Sequence[Any]]:
    """As many groups of ``TOGETHER`` as there are, each spread over all of the pairs."""
    count = len(pairs) // TOGETHER
    return [pairs[first::count][:TOGETHER] for first in range(count)]


def preferred_scale(pairs: Sequence[tuple[str, Image, Image]]) -> dict[str, float]:
    """By how much registered thermal images should be scaled about their centre, in the eyes of two other measures.

    Returns:
        Where the mean over the pairs peaks: ``mutual_information`` (normalised, Studholme 1999) and ``gradients``
        (correlation of the logarithms of their lengths). 1 where the given registration is right.
    """
    scores = np.zeros((len(SCALES), 2))
    for _, visible, thermal in pairs:
        grey, heat = (cv2.GaussianBlur(_grey(image), (0, 0), 1) for image in (visible, thermal))
        middle = (np.array(grey.shape[::-1]) - 1) / 2
        for row, scale in enumerate(SCALES):
            back = np.c_[np.eye(2) / scale, middle * (1 - 1 / scale)]  # from the scaled image to the given one
            size, flags = (grey.shape[1], grey.shape[0]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(heat, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            scores[row] += _mutual_information(grey[8:-8, 8:-8], moved[8:-8, 8:-8]), _like_gradients(grey, moved)
    return dict(zip(("mutual_information", "gradients"), map(_peak, scores.T), strict=True))


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)) if image.ndim == 3 else image


def _mutual_information(one: Image, other: Image) -> float:
    share = np.histogram2d(one.ravel(), other.ravel(), 48)[0] / one.size
    entropies = (-(p[p > 0] * np.log(p[p > 0])).sum() for p in (share.sum(0), share.sum(1), share))
    a, b, both = entropies
    return float((a + b) / both)


def _like_gradients(one: Image, other: Image) -> float:
    lengths = []
    for image in (one, other):
        gx, gy = (cv2.Scharr(image, cv2.CV_32F, *direction)[8:-8, 8:-8] for direction in ((1, 0), (0, 1)))
        lengths.append(np.log1p(np.hypot(gx, gy)).ravel())
    return float(np.corrcoef(*lengths)[0, 1])


def _peak(scores: Matrix) -> float:
    best = int(np.clip(scores.argmax(), 1, len(SCALES) - 2))
    return float(SCALES[best] + vertex(*scores[best - 1 : best + 2]) * (SCALES[1] - SCALES[0]))


def shifted_videos(visible: Path, thermal: Path) -> dict[str, Any]:
    """Time offsets of a pair of videos whose frames match by number, as it is and delayed by -120 to 120 ms.

    Returns:
        ``as_given_ms`` with ``uncertainty_ms``, and ``worst_error_ms`` over the delays. The offset of the videos as
        they are is known to half a frame only. ``parts``: as given, from each half of the time and each half of the
        picture's tiles alone; they tell whether the uncertainty is right. ``refused``: why there is none.
    """
    videos = [Video(path) for path in (visible, thermal)]
    rate_hz = videos[0].rate_hz
    frames = [[image for _, image in video if not isinstance(image, ValueError)] for video in videos]
    found = {}
    try:
        for delay_ms in DELAYS_MS:
            cut = round(delay_ms * rate_hz / 1000)  # whole frames; the rest by the stamps
            seen = _motion(frames[0][max(cut, 0) :], rate_hz, 0.0)
            late = _motion(frames[1][max(-cut, 0) :], rate_hz, delay_ms / 1000 - cut / rate_hz)
            found[delay_ms] = time_offset(seen, late)
    except ValueError as error:
        return {"refused": str(error)}
    return {
        "as_given_ms": found[0].offset_ms,
        "uncertainty_ms": found[0].uncertainty_ms,
        "worst_error_ms": max(abs(each.offset_ms + delay_ms) for delay_ms, each in found.items()),
        "parts": _offsets_of_parts(*(_motion(each, rate_hz, 0.0) for each in frames)),
    }


def _offsets_of_parts(visible: Motion, thermal: Motion) -> dict[str, Any]:
    middle, whole = len(visible.times_s) // 2, slice(None)
    parts = {
        "first_half": (slice(middle), whole),
        "second_half": (slice(middle, None), whole),
        "even_tiles": (whole, slice(0, None, 2)),
        "odd_tiles": (whole, slice(1, None, 2)),
    }
    found: dict[str, Any] = {}
    for name, part in parts.items():
        try:
            offset = time_offset(_part(visible, *part), _part(thermal, *part))
        except ValueError as error:
            found[name] = {"refused": str(error)}
        else:
            found[name] = {"offset_ms": offset.offset_ms, "uncertainty_ms": offset.uncertainty_ms}
    return found


def _part(motion: Motion, frames: slice, tiles: slice) -> Motion:
    part = Motion()
    part.times_s = motion.times_s[frames]
    part.energies = [energies[tiles] for energies in motion.energies[frames]]
    return part


def _motion(frames: Sequence[Image], rate_hz: float, first_s: float) -> Motion:
    motion = Motion()
    for number, frame in enumerate(frames):
        motion.add(first_s + number / rate_hz, frame)
    return motion


def _seen_by(thermal: Image, rig: Matrix) -> Image:
    size = (thermal.shape[1], thermal.shape[0])
    return np.asarray(cv2.warpPerspective(thermal, rig, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _frame(archive: zipfile.ZipFile, entry: dict[str, Any]) -> RoadScenePair:
    name = entry["frame"]
    folders = {"visible": "jpg", "thermal": "jpg", "visible_full": "jpg", "thermal_raw": "png"}
    images = {folder: _image(archive, f"{folder}/{name}.{suffix}") for folder, suffix in folders.items()}
    full = images["visible_full"]
    to_registered = scaling((full.shape[1], full.shape[0]), tuple(entry["size_wh"]))
    return RoadScenePair(name, **images, full_to_raw=np.array(entry["H_thermal_to_thermal_raw"]) @ to_registered)


def _image(archive: zipfile.ZipFile, name: str) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED))
