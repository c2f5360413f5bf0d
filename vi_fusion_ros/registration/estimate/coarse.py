"""Where one camera's image lies in the other's when nothing is known: turned, mirrored, larger, smaller or aside.

Every pose on a grid is tried on all pairs at once: the cross-correlations of their structures are summed, which one
inverse Fourier transform does for every shift. What chance would give is known for each shift, so the score is in
standard deviations of it, and poses of any size and overlap compare.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.estimate.matching import Grey, ImagePair, distinct, resized, warped_structure
from vi_fusion_ros.registration.planar import Points, corners, inverse, transform
from vi_fusion_ros.registration.rig import Matrix, Size, scaling, translation
from vi_fusion_ros.registration.structure import Structure, agreement, structure

WIDE_SCALES = (0.2, 5.0)
"""Smallest and largest size tried of the visible image, beside one that covers the thermal image's area."""

AGAIN_SCALES = (0.42, 2.0)
"""Smallest and largest scale of the visible image, beside equal width, of ``search_again``; it tries no turn."""

SMALL_TURN_DEG = 20.0
"""Largest turn tried to either side of 0, 90, 180 and 270 degrees."""

_SCALES = np.geomspace(*WIDE_SCALES, 34)  # 10 % apart: 2 pixels at the border of a small image at most
_TURNS_DEG = np.linspace(-SMALL_TURN_DEG, SMALL_TURN_DEG, 5)
_ORIENTATIONS = 8  # quarter turns of the thermal image, and the same mirrored
_SIDE_PX = 68.0  # root of the area of both images at equal size
_LESS = 0.25  # the larger one image, the smaller the other one: the larger has to be paid for
_LEAST_OVERLAP = 0.4  # of the smaller image
_BLUR_PX = 0.7  # of structure: between two poses of the grid it still has to meet itself
_POWER_STEP = 4  # the power of structure is smooth: correlated on a coarser grid
_ALIKE_SIZE = (160, 120)
_AGAIN_WIDTH = 240  # of the thermal image
_AGAIN_STEPS = np.geomspace(*AGAIN_SCALES, 40)
_AGAIN_SHIFTS = 5  # of each scale
_AGAIN_OVERLAP = 0.5  # of the smaller image
_AGAIN_PEAK = 7  # half the width of a peak
_PROPOSED = 20  # poses that are looked at again
_SHARP_PX = 180.0  # root of the area of what the cameras have in common, margins included, at the second look
_SHARP_REACH = 0.08  # of its sides
_SHARP_TURNS_DEG = (-3.3, 0.0, 3.3)
_SHARP_SCALES = (1 / 1.033, 1.0, 1.033)
_MARGIN = 0.15  # around what the cameras have in common, of its side
_AWAY = 0.06  # shifts beyond that, of the image's sides, are no inaccuracy
_SAME = 0.2  # poses further apart than that, of the side of what the cameras have in common, are different answers

Real = npt.NDArray[np.float32]
T = TypeVar("T", bound=np.generic)
A = TypeVar("A")
B = TypeVar("B")
Channels = tuple[Real, Real, Real]  # real and imaginary part, power


@dataclass(frozen=True, eq=False)
class Pose:
    """A guess at how two cameras lie to each other.

    Attributes:
        score: how far the pairs' common structure exceeds what chance gives, in standard deviations of it, times a
            constant.
        orientation: how the thermal image is turned and mirrored to stand like the visible one: so many quarter turns
            anticlockwise, then, from 4 on, left to right.
        turn_deg: what turn is left then, of the visible image, anticlockwise.
        scale: root of the visible image's area beside the thermal one's, in one picture.
        visible_to_thermal: (3, 3), pixels of the images as they are.
    """

    score: float
    orientation: int
    turn_deg: float
    scale: float
    visible_to_thermal: Matrix

    def __str__(self) -> str:
        """For people: how the thermal image stands to the visible one."""
        sense = -1 if self.orientation >= 4 else 1
        turn = round(sense * self.turn_deg - 90 * (self.orientation % 4)) % 360
        mirrored = "mirrored and " if self.orientation >= 4 else ""
        return f"{mirrored}turned by {turn} degrees anticlockwise, the visible image {self.scale:.2f} times its size"


@dataclass(frozen=True, eq=False)
class Upright:
    """Pairs brought near each other without resampling: the thermal images turned, both cut to what they share.

    Attributes:
        pairs: the images.
        visible: (3, 3), pixels of the visible image as it was to those of ``pairs``.
        thermal: (3, 3), the same of the thermal image.
        start: (3, 3), visible to thermal pixels of ``pairs``: where the pose puts them.
    """

    pairs: list[ImagePair]
    visible: Matrix
    thermal: Matrix
    start: Matrix

    @classmethod
    def as_they_are(cls, pairs: Sequence[ImagePair], start: Matrix) -> Upright:
        """Pairs that stand near each other already."""
        return cls(list(pairs), np.eye(3), np.eye(3), start)

    def as_given(self, visible_to_thermal: Matrix) -> Matrix:
        """A map between pixels of ``pairs`` as one between those of the images as they were, (3, 3)."""
        return np.asarray(inverse(self.thermal) @ visible_to_thermal @ self.visible)


def search_wide(pairs: Sequence[ImagePair], count: int) -> list[Pose]:
    """The likeliest poses, the best first, that differ from each other.

    A coarse grid proposes; what is proposed is looked at again, sharper and on a finer grid around it.

    Args:
        pairs: of one rig, all of the same sizes; one to four of them, for time grows with each.
        count: how many poses, at most.
    """
    alike = math.sqrt(_alike(pairs))
    found = list(itertools.chain.from_iterable(each(partial(_at_scale, pairs), _SCALES.tolist())))
    sharpened = each(partial(_sharpened, pairs), _different(found, pairs, _PROPOSED))
    return [replace(pose, score=pose.score / alike) for pose in _different(sharpened, pairs, count)]


def search_again(pair: ImagePair, count: int) -> list[Matrix]:
    """Candidates as those of ``matching.search``, but many, and by how far they exceed chance; the best first.

    Scores that are normalised over the overlap prefer what is right in most pairs. Where structure in common is faint,
    the right shift is one of several maxima of its scale.
    """
    thermal_size, visible_size = pair.thermal_size, pair.visible_size
    small = _AGAIN_WIDTH, max(8, round(thermal_size[1] * _AGAIN_WIDTH / thermal_size[0]))
    fixed = _channels(structure(resized(pair.thermal, small)))

    def at_scale(scale: float) -> list[tuple[float, Matrix]]:
        width = round(small[0] * scale)
        size = width, max(8, round(width * visible_size[1] / visible_size[0]))
        shape = (_transform_side(size[1], small[1]), _transform_side(size[0], small[0]))
        moving = _channels(structure(resized(pair.visible, size)))
        scores = _scores([_spectra(moving, shape)], [_spectra(fixed, shape)])
        scores[_overlap(small, size, shape) < _AGAIN_OVERLAP * min(size[0] * size[1], small[0] * small[1])] = -1
        found = []
        for _ in range(_AGAIN_SHIFTS):
            score, shift = _highest(scores, small)
            found.append((score, scaling(small, thermal_size) @ translation(*shift) @ scaling(visible_size, size)))
            around = np.arange(-_AGAIN_PEAK, _AGAIN_PEAK + 1)
            scores[np.ix_((shift[1] + around) % shape[0], (shift[0] + around) % shape[1])] = -1
        return found

    return distinct(list(itertools.chain.from_iterable(each(at_scale, _AGAIN_STEPS.tolist()))), pair, count)


def each(function: Callable[[A], B], some: Iterable[A]) -> list[B]:
    """What a function gives for each, in their order, on all cores: OpenCV and NumPy work outside of Python's lock."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(function, some))


def _alike(pairs: Sequence[ImagePair]) -> float:
    """How many pairs say the same: 1 for pairs of different scenes, their number for copies of one.

    Where two pairs are alike, so is what chance gives for them: the covariance of their sums of products is the product
    of how far their visible and their thermal structures agree.
    """
    visible, thermal = (
        [structure(resized(image, _ALIKE_SIZE)) for image in images]
        for images in ([pair.visible for pair in pairs], [pair.thermal for pair in pairs])
    )
    whole = np.ones(_ALIKE_SIZE[::-1], bool)
    shared = [
        max(0.0, agreement(a, b, whole)) * max(0.0, agreement(c, d, whole))
        for a, c in zip(visible, thermal, strict=True)
        for b, d in zip(visible, thermal, strict=True)
    ]
    return max(1.0, sum(shared) / len(pairs))


def _different(poses: Sequence[Pose], pairs: Sequence[ImagePair], count: int) -> list[Pose]:
    """The best poses that differ from each other, the best first."""
    kept: list[Pose] = []
    sizes = pairs[0].visible_size, pairs[0].thermal_size
    for pose in sorted(poses, key=lambda one: -one.score):
        if all(apart(pose.visible_to_thermal, other.visible_to_thermal, *sizes) for other in kept):
            kept.append(pose)
        if len(kept) == count:
            break
    return kept


def most_structured(pairs: Sequence[ImagePair], count: int) -> list[ImagePair]:
    """So many pairs, of all parts of a sequence, that show the most structure to both cameras."""
    parts = (pairs[first:last] for first, last in _parts(len(pairs), count))
    return [max(part, key=structured) for part in parts]


def structured(pair: ImagePair) -> float:
    """How much structure a pair shows to both cameras; 0 where one of its images is blank."""
    images = (resized(image, _ALIKE_SIZE) for image in (pair.visible, pair.thermal))
    return min(float(np.abs(structure(image)).mean()) for image in images)


def _parts(length: int, count: int) -> list[tuple[int, int]]:
    count = min(count, length)
    return [(length * part // count, length * (part + 1) // count) for part in range(count)]


def _sharpened(pairs: Sequence[ImagePair], pose: Pose) -> Pose:
    """A pose of the grid, moved to the best of the poses around it, with its score at a finer resolution."""
    frame = upright(pairs, pose)
    visible_size, thermal_size = frame.pairs[0].visible_size, frame.pairs[0].thermal_size
    small = _sized(thermal_size, _SHARP_PX / math.sqrt(thermal_size[0] * thermal_size[1]))
    fixed = [structure(resized(pair.thermal, small)) for pair in frame.pairs]
    shape = (_transform_side(small[1], 0), _transform_side(small[0], 0))
    still = [_spectra(_channels(one), shape) for one in fixed]
    allowed = _near(shape, (round(_SHARP_REACH * small[0]), round(_SHARP_REACH * small[1])))
    best = None
    to_small = scaling(thermal_size, small)
    middle = transform(frame.start, np.array([[(visible_size[0] - 1) / 2, (visible_size[1] - 1) / 2]]))[0]
    for turn_deg, grow in itertools.product(_SHARP_TURNS_DEG, _SHARP_SCALES):
        around = np.vstack([cv2.getRotationMatrix2D(tuple(middle), turn_deg, grow), [0, 0, 1]])
        there = to_small @ around @ frame.start
        moved = [_channels(warped_structure(pair.visible, there, small)[0]) for pair in frame.pairs]
        score, shift = _best_shift([_spectra(one, shape) for one in moved], still, allowed, small)
        if best is None or score > best[0]:
            best = score, turn_deg, grow, inverse(to_small) @ translation(*shift) @ there
    assert best is not None
    return replace(
        pose, score=best[0], turn_deg=pose.turn_deg + best[1], scale=pose.scale * best[2],
        visible_to_thermal=frame.as_given(best[3]),
    )  # fmt: skip


def elsewhere(pairs: Sequence[ImagePair], visible_to_thermal: Matrix) -> tuple[float, float, Matrix]:
    """The evidence for a map, and for the best one that differs from it by a shift alone: of scenes that repeat.

    Args:
        pairs: of one rig, all of the same sizes, that stand near each other.
        visible_to_thermal: (3, 3).

    Returns:
        The evidence for the map, for the other one, and the other one, (3, 3).
    """
    thermal_size = pairs[0].thermal_size
    small = _sized(thermal_size, _SHARP_PX / math.sqrt(thermal_size[0] * thermal_size[1]))
    shape = (_transform_side(small[1], small[1]), _transform_side(small[0], small[0]))
    there = scaling(thermal_size, small) @ visible_to_thermal
    still = [_spectra(_channels(structure(resized(pair.thermal, small))), shape) for pair in pairs]
    moved = [_spectra(_channels(warped_structure(pair.visible, there, small)[0]), shape) for pair in pairs]
    here = _near(shape, (round(_AWAY * small[0]), round(_AWAY * small[1])))
    others = ~here & (_overlap(small, small, shape) >= _LEAST_OVERLAP * small[0] * small[1])
    alike = math.sqrt(_alike(pairs))
    score = _best_shift(moved, still, here, small)[0]
    other, shift = _best_shift(moved, still, others, small)
    return score / alike, other / alike, scaling(small, thermal_size) @ translation(*shift) @ there


def apart(one: Matrix, other: Matrix, visible_size: Size, thermal_size: Size) -> bool:
    """Whether two maps from visible to thermal pixels are different answers, not two estimates of the same."""
    for size, maps in ((thermal_size, (inverse(one), inverse(other))), (visible_size, (one, other))):
        inner = np.array([[1, 1], [3, 1], [3, 3], [1, 3]]) * 0.25 * np.array(size)
        first, second = (transform(each, inner) for each in maps)
        side = 2 * min(float(np.ptp(each, 0).max()) for each in (first, second))
        if np.linalg.norm(first - second, axis=1).max() > _SAME * side:
            return True
    return False


def upright(pairs: Sequence[ImagePair], pose: Pose) -> Upright:
    """Pairs as a pose says that they stand to each other: what is left is a small turn, a scale and a shift."""
    visible_size, thermal_size = pairs[0].visible_size, pairs[0].thermal_size
    turn = _turn(pose.orientation, thermal_size)
    turned = _turned_size(pose.orientation, thermal_size)
    there = turn @ pose.visible_to_thermal
    visible_cut = _window(transform(inverse(there), corners(turned)), visible_size)
    thermal_cut = _window(transform(there, corners(visible_size)), turned)
    visible, cut = (translation(-x.start, -y.start) for y, x in (visible_cut, thermal_cut))
    cuts = [
        ImagePair(pair.visible[visible_cut], _oriented(pair.thermal, pose.orientation)[thermal_cut], pair.name)
        for pair in pairs
    ]
    return Upright(cuts, visible, cut @ turn, cut @ there @ inverse(visible))


def _oriented(image: npt.NDArray[T], orientation: int) -> npt.NDArray[T]:
    """An image (H, W) turned anticlockwise by so many quarter turns; from 4 on also mirrored, left to right."""
    turned = np.rot90(image, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def _at_scale(pairs: Sequence[ImagePair], scale: float) -> list[Pose]:
    """The best shift of every turn at one scale."""
    visible_size, thermal_size = pairs[0].visible_size, pairs[0].thermal_size
    side = _SIDE_PX * max(scale, 1 / scale) ** -_LESS
    small_visible, small_thermal = (
        _sized(size, to / math.sqrt(size[0] * size[1]))
        for size, to in ((visible_size, side * max(scale, 1)), (thermal_size, side / min(scale, 1)))
    )
    turns = [_small_turn(float(turn), small_visible) for turn in _TURNS_DEG]
    moving = [[_turned_structure(resized(pair.visible, small_visible), *turn) for turn in turns] for pair in pairs]
    fixed = [structure(resized(pair.thermal, small_thermal)) for pair in pairs]
    least = _LEAST_OVERLAP * min(np.prod(small_visible), np.prod(small_thermal))
    poses = []
    largest = max(size[0] for _, size in turns), max(size[1] for _, size in turns)
    for upended in (0, 1):
        frame = _turned_size(upended, small_thermal)
        shape = (_transform_side(largest[1], frame[1]), _transform_side(largest[0], frame[0]))
        spectra = [[_spectra(_channels(one), shape) for one in of_pair] for of_pair in moving]
        allowed = _overlap(frame, largest, shape) >= least
        for orientation in range(upended, _ORIENTATIONS, 2):
            still = [_spectra(_oriented_channels(one, orientation), shape) for one in fixed]
            back = inverse(_turn(orientation, small_thermal))
            for index, turn_deg in enumerate(_TURNS_DEG):
                score, shift = _best_shift([of[index] for of in spectra], still, allowed, frame)
                there = back @ translation(*shift) @ turns[index][0]
                whole = scaling(small_thermal, thermal_size) @ there @ scaling(visible_size, small_visible)
                poses.append(Pose(score, orientation, float(turn_deg), scale, np.asarray(whole)))
    return poses


def _best_shift(
    moving: Sequence[Channels], fixed: Sequence[Channels], allowed: npt.NDArray[np.bool_], frame: Size
) -> tuple[float, tuple[int, int]]:
    """Where summed spectra agree best: the score, and the shift (x, y) of the moving images."""
    score = _scores(moving, fixed)
    score[~allowed] = -1
    return _highest(score, frame)


def _highest(scores: Real, frame: Size) -> tuple[float, tuple[int, int]]:
    """The highest score, and its shift (x, y) of images over one of (width, height)."""
    height, width = scores.shape
    y, x = (int(i) for i in np.unravel_index(scores.argmax(), scores.shape))
    return float(scores[y, x]), (x - width if x >= frame[0] else x, y - height if y >= frame[1] else y)


def _scores(moving: Sequence[Channels], fixed: Sequence[Channels]) -> Real:
    """How well summed spectra agree, by shift (y, x)."""
    cross, power = np.zeros_like(fixed[0][0]), np.zeros_like(fixed[0][2])
    for one, other in zip(moving, fixed, strict=True):
        cross += cv2.mulSpectrums(other[0], one[0], 0, conjB=True)
        cross += cv2.mulSpectrums(other[1], one[1], 0, conjB=True)
        power += cv2.mulSpectrums(other[2], one[2], 0, conjB=True)
    flags = cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT
    height, width = cross.shape
    # Angles that have nothing to do with each other: a sum of products has half the summed products of powers as
    # variance, times a constant for how far structure reaches.
    finer = np.array([[1 / _POWER_STEP, 0, 0], [0, 1 / _POWER_STEP, 0]])
    variance = cv2.warpAffine(
        cv2.dft(power, flags=flags), finer, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    ) * (_POWER_STEP**2)  # fmt: skip
    least = max(0.02 * float(variance.max()), 1e-3)
    return np.asarray(cv2.dft(cross, flags=flags) / np.sqrt(np.maximum(variance, least)))


def _near(shape: tuple[int, int], reach: Size) -> npt.NDArray[np.bool_]:
    """Shifts of at most a reach (x, y), as the transform has them."""
    down, across = (np.minimum(np.arange(side), side - np.arange(side)) for side in shape)
    return np.logical_and.outer(down <= reach[1], across <= reach[0])


def _channels(one: Structure) -> Channels:
    power = np.asarray(np.abs(one) ** 2, np.float32)
    short = (-(-power.shape[1] // _POWER_STEP), -(-power.shape[0] // _POWER_STEP))
    power = np.pad(power, ((0, short[1] * _POWER_STEP - power.shape[0]), (0, short[0] * _POWER_STEP - power.shape[1])))
    parts = (cv2.GaussianBlur(np.ascontiguousarray(part), (0, 0), _BLUR_PX) for part in (one.real, one.imag))
    real, imaginary = (np.asarray(part, np.float32) for part in parts)
    return real, imaginary, np.asarray(cv2.resize(power, short, interpolation=cv2.INTER_AREA))


def _oriented_channels(one: Structure, orientation: int) -> Channels:
    """Of the structure of an image that is turned: doubled angles turn by 180 degrees with a quarter turn."""
    sign = 1 if orientation % 2 == 0 else -1
    turned = sign * _oriented(one, orientation)
    return _channels(np.asarray(np.conj(turned) if orientation >= 4 else turned, np.complex64))


def _spectra(channels: Channels, shape: tuple[int, int]) -> Channels:
    coarse = (shape[0] // _POWER_STEP, shape[1] // _POWER_STEP)
    return tuple(  # type: ignore[return-value]
        _spectrum(part, whole) for part, whole in zip(channels, (shape, shape, coarse), strict=True)
    )


def _spectrum(image: Real, shape: tuple[int, int]) -> Real:
    padded = np.zeros(shape, np.float32)
    padded[: image.shape[0], : image.shape[1]] = image
    return np.asarray(cv2.dft(padded, nonzeroRows=image.shape[0]))


def _transform_side(one: int, other: int) -> int:
    """Of a Fourier transform in which shifts that overlap enough do not meet their own repetition."""
    return _POWER_STEP * cv2.getOptimalDFTSize(
        math.ceil((max(one, other) + (1 - _LEAST_OVERLAP) * min(one, other)) / _POWER_STEP) + 1
    )


def _overlap(fixed: Size, moving: Size, shape: tuple[int, int]) -> Points:
    """Pixels that two images have in common, by shift (y, x), as the transform has them."""

    def along(side: int, one: int, other: int) -> Points:
        shift = np.arange(side, dtype=np.float64)
        shift[shift >= one] -= side
        return np.asarray(np.clip(np.minimum(one, shift + other) - np.maximum(0, shift), 0, None), np.float64)

    down, across = along(shape[0], fixed[1], moving[1]), along(shape[1], fixed[0], moving[0])
    return np.asarray(down[:, None] * across)


def _sized(size: Size, zoom: float) -> Size:
    return max(8, round(size[0] * zoom)), max(8, round(size[1] * zoom))


def _small_turn(turn_deg: float, size: Size) -> tuple[Matrix, Size]:
    """The turn of an image of (width, height) about its middle, and the frame that holds all of it."""
    w, h = size
    turn = np.vstack([cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), turn_deg, 1), [0, 0, 1]])
    cosine, sine = abs(turn[0, 0]), abs(turn[0, 1])
    frame = math.ceil(w * cosine + h * sine), math.ceil(w * sine + h * cosine)
    turn[:2, 2] += (np.array(frame) - size) / 2
    return turn, frame


def _turned_structure(image: Grey, turn: Matrix, frame: Size) -> Structure:
    moved = cv2.warpAffine(image, turn[:2], frame, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.full(image.shape, 255, np.uint8), turn[:2], frame)
    if turn[0, 1]:
        inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0)
    return np.asarray(structure(moved) * (inside == 255), np.complex64)


def _turn(orientation: int, size: Size) -> Matrix:
    """What ``_oriented`` does to the pixels of an image of (width, height), (3, 3)."""
    matrix = np.eye(3)
    for quarter in range(orientation % 4):
        width = size[quarter % 2]
        matrix = np.array([[0, 1, 0], [-1, 0, width - 1], [0, 0, 1]]) @ matrix
    if orientation >= 4:
        matrix = np.array([[-1, 0, _turned_size(orientation, size)[0] - 1], [0, 1, 0], [0, 0, 1]]) @ matrix
    return matrix


def _turned_size(orientation: int, size: Size) -> Size:
    return size if orientation % 2 == 0 else (size[1], size[0])


def _window(outline: Points, size: Size) -> tuple[slice, slice]:
    """Rows and columns of an image of (width, height) that hold an outline (n, 2), with a margin."""
    low, high = outline.min(0), outline.max(0)
    around = _MARGIN * (high - low)
    first, last = np.maximum(np.floor(low - around), 0), np.minimum(np.ceil(high + around) + 1, size)
    (left, top), (right, bottom) = first.astype(int), np.maximum(last, first + 8).astype(int)
    return slice(int(top), int(bottom)), slice(int(left), int(right))
