"""Whether ``calibrate scene`` finds cameras that stand anyhow, and refuses images of different scenes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vi_fusion_ros.registration.estimate.matching import ImagePair
from vi_fusion_ros.registration.estimate.scene import calibrate
from vi_fusion_ros.registration.planar import corner_error, inverse
from vi_fusion_ros.registration.rig import Matrix, Size, scaling
from vi_fusion_ros.types import Image

RIG_PAIRS = 4
"""Pairs that a rig is calibrated from: what the wide search looks at."""

Stills = Sequence[tuple[str, Image, Image]]

_WIDTHS = (640, 480, 320)  # of the thermal image, pixels
_MOST_SHIFT = 0.15  # of the sides of what both cameras see
_LARGEST_TURN_DEG, _LARGEST_SCALE = 20.0, 5.0
_SUPPORT = re.compile(r"support[^()]*? (\d+\.\d), expected (\d+\.\d) or more")  # in the sentence of a refusal
_OPTICS_PX = 0.45  # blur of a camera that shows the scene at full size, pixels of its own


@dataclass(frozen=True)
class Stand:
    """How the thermal camera is made to stand to the visible one.

    Attributes:
        name: for people.
        turn_deg: of the thermal image, anticlockwise.
        mirrored: whether it is, left to right, before it is turned.
        scale: above 1 the thermal camera sees so much less; below 1 the visible one does.
        shift: of what the cameras have in common, (x, y), shares of its sides.
        width: of the thermal image, pixels.
    """

    name: str
    turn_deg: float = 0.0
    mirrored: bool = False
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    width: int = 640


CASES = (
    Stand("as it is"),
    Stand("turned by 5 degrees", turn_deg=5),
    Stand("80x60 pixels", width=80),
    Stand("zoomed by 1.5", scale=1.5),
    Stand("zoomed by 1.7", scale=1.7),
    Stand("zoomed by 2", scale=2),
    Stand("zoomed by 2.6", scale=2.6),
    Stand("turned by 15 degrees", turn_deg=15),
    Stand("turned by 90 degrees", turn_deg=90),
    Stand("turned by 180 degrees", turn_deg=180),
    Stand("mirrored", mirrored=True),
)


def drawn(count: int) -> list[Stand]:
    """So many stands from all over the range that is searched; always the same ones."""
    random = np.random.default_rng(16)
    stands = []
    for number in range(count):
        turn = 90 * int(random.integers(4)) + float(random.uniform(-_LARGEST_TURN_DEG, _LARGEST_TURN_DEG))
        scale = _LARGEST_SCALE ** float(random.uniform(-1, 1))
        across, down = (float(share) for share in random.uniform(-_MOST_SHIFT, _MOST_SHIFT, 2))
        mirrored, width = bool(random.integers(2)), int(random.choice(_WIDTHS))
        stands.append(Stand(f"drawn {number}", turn, mirrored, scale, (across, down), width))
    return stands


def stood(stand: Stand, stills: Stills) -> dict[str, Any]:
    """Calibrate registered stills as two cameras that stand so would see them.

    Returns:
        The stand; ``off_px``, mean over the corners of the image that shows less, pixels of whichever image is coarser;
        or why it was ``refused``; ``cpu_s``.
    """
    pairs, truth = zip(*(_seen(stand, still) for still in stills), strict=True)
    row: dict[str, Any] = {
        "name": stand.name, "turn_deg": stand.turn_deg, "mirrored": stand.mirrored, "scale": stand.scale,
        "shift": list(stand.shift), "width": stand.width,
    }  # fmt: skip
    began = time.process_time()
    try:
        found = calibrate(pairs)
        row["off_px"] = _off_px(inverse(found.H_thermal_to_visible), truth[0], pairs[0], stand)
        row["uncertainty_px"] = found.uncertainty_px
    except ValueError as error:
        row["refused"] = str(error)
    row["cpu_s"] = time.process_time() - began
    return row


def mixed_up(count: int, stills: Stills) -> list[list[tuple[str, Image, Image]]]:
    """Visible images of one scene with thermal ones of another: three times a single pair, then four together."""
    random = np.random.default_rng(17)
    scenes: dict[str, list[tuple[str, Image, Image]]] = {}
    for still in stills:
        scenes.setdefault(still[0].split("/")[1], []).append(still)
    groups = []
    for number in range(count):
        pairs = []
        for _ in range(RIG_PAIRS if number % 4 == 3 else 1):
            one, other = (scenes[str(name)] for name in random.choice(sorted(scenes), 2, replace=False))
            (name, visible, _), (thermal_name, _, thermal) = (
                some[int(random.integers(len(some)))] for some in (one, other)
            )
            pairs.append((f"{name} with {thermal_name}", visible, thermal))
        groups.append(pairs)
    return groups


def refusal(pairs: Stills) -> dict[str, Any]:
    """What is said to images of different scenes: ``refused`` and why, or ``accepted`` and what was found."""
    row: dict[str, Any] = {"pairs": [name for name, _, _ in pairs]}
    try:
        row["accepted"] = calibrate([ImagePair.of(visible, thermal, name) for name, visible, thermal in pairs]).searched
    except ValueError as error:
        row["refused"] = str(error)
    return row


def summary(cases: Sequence[dict[str, Any]], different: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many of ``stood`` were right to a pixel, further off, wrong and refused; how many of ``refusal`` were not.

    ``different_most_support`` is the largest support that chance gave to different scenes, beside what is needed.
    """
    said = [found for row in different for found in _SUPPORT.findall(row.get("refused", ""))]
    off = np.array([row["off_px"] for row in cases if "off_px" in row])
    return {
        "rigs": len(cases),
        "within_1_px": int((off <= 1).sum()),
        "median_px": float(np.median(off)) if len(off) else None,
        "worst_px": float(off.max()) if len(off) else None,
        "refused": sum("refused" in row for row in cases),
        "different": len(different),
        "different_accepted": sum("accepted" in row for row in different),
        "different_most_support": max((float(support) / float(least) for support, least in said), default=None),
    }


def _seen(stand: Stand, still: tuple[str, Image, Image]) -> tuple[ImagePair, Matrix]:
    """A still as both cameras see it, and the true map from visible to thermal pixels."""
    name, visible, thermal = still
    size: Size = (thermal.shape[1], thermal.shape[0])
    closer = _about_middle(size, scale=max(stand.scale, 1 / stand.scale))
    shift = np.eye(3)
    shift[:2, 2] = np.array(stand.shift) * size
    turned, frame = _turned(stand, size)
    seen_size = stand.width, round(stand.width * frame[1] / frame[0])
    to_seen = scaling(frame, seen_size) @ turned
    if stand.scale >= 1:
        to_seen = to_seen @ shift @ closer
        return ImagePair.of(visible, _warped(thermal, to_seen, seen_size), name), to_seen
    to_visible = shift @ closer
    pair = ImagePair.of(_warped(visible, to_visible, size), _warped(thermal, to_seen, seen_size), name)
    return pair, np.asarray(to_seen @ inverse(to_visible))


def _turned(stand: Stand, size: Size) -> tuple[Matrix, Size]:
    """The turn and mirror of an image of (width, height), and the frame: upended by a quarter turn."""
    mirror = np.diag([-1.0, 1, 1]) if stand.mirrored else np.eye(3)
    mirror[0, 2] = size[0] - 1 if stand.mirrored else 0
    frame = size if round(stand.turn_deg / 90) % 2 == 0 else (size[1], size[0])
    turn = _about_middle(size, turn_deg=stand.turn_deg)
    turn[:2, 2] += (np.array(frame) - size) / 2
    return turn @ mirror, frame


def _about_middle(size: Size, turn_deg: float = 0.0, scale: float = 1.0) -> Matrix:
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    return np.vstack([cv2.getRotationMatrix2D(middle, turn_deg, scale), [0, 0, 1]])


def _warped(image: Image, to_seen: Matrix, size: Size) -> Image:
    zoom = math.sqrt(abs(np.linalg.det(to_seen[:2, :2])))
    if zoom < 1:  # optics that do not show what the sensor cannot
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), _OPTICS_PX / zoom))
    return np.asarray(cv2.warpPerspective(image, to_seen, size))


def _off_px(found: Matrix, truth: Matrix, pair: ImagePair, stand: Stand) -> float:
    zoom = math.sqrt(abs(np.linalg.det(truth[:2, :2])))  # thermal pixels to a visible one
    if stand.scale >= 1:
        off_visible = corner_error(inverse(found), inverse(truth), pair.thermal_size)
        return min(off_visible, off_visible * zoom)
    off_thermal = corner_error(found, truth, pair.visible_size)
    return min(off_thermal, off_thermal / zoom)
