"""From two images to correspondences: a search over scale and shift, then patches that find their partners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.planar import Points, inverse, transform
from vi_fusion_ros.registration.rig import Matrix, Size, scaling, translation
from vi_fusion_ros.registration.structure import Structure, agreement, grey8, structure, surfaces
from vi_fusion_ros.types import Image

_SEARCH_WIDTH = 160
SEARCHED_SCALES = (0.6, 1.67)
"""Smallest and largest scale of the visible image, beside equal width, that ``search`` tries; it tries no turn."""

_SCALES = np.geomspace(*SEARCHED_SCALES, 35)
_LEAST_OVERLAP = 0.6  # of the smaller image, in the search
_LEAST_COVER, _LEAST_ENERGY = 0.5, 0.15  # of a patch
_PEAK = 3  # half the width of a correlation peak; a second one counts outside of it

Grey = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images of one moment, ready for matching.

    Attributes:
        visible: (H, W) float32, 0 to 255.
        thermal: (h, w) float32, 0 to 255.
        name: for reports.
    """

    visible: Grey
    thermal: Grey
    name: str

    @classmethod
    def of(cls, visible: Image, thermal: Image, name: str = "") -> ImagePair:
        """A pair from images of any depth."""
        return cls(grey8(visible), grey8(thermal), name)

    @property
    def visible_size(self) -> Size:
        """(width, height)."""
        return self.visible.shape[1], self.visible.shape[0]

    @property
    def thermal_size(self) -> Size:
        """(width, height)."""
        return self.thermal.shape[1], self.thermal.shape[0]


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Points that belong together.

    Attributes:
        visible: (n, 2), (x, y) in visible pixels.
        thermal: (n, 2), in thermal pixels.
        weights: (n,), 0 to 1: how high and how lonely the peak is that ties them.
    """

    visible: Points
    thermal: Points
    weights: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """A round of patch matching.

    Attributes:
        width: thermal image width it is done at, pixels.
        side: of a patch, pixels.
        reach: furthest displacement, pixels.
        step: between patches, pixels.
    """

    width: int
    side: int
    reach: int
    step: int


def search(pair: ImagePair, count: int) -> list[Matrix]:
    """Candidates for the map from visible to thermal pixels: equal scale in x and y, and a shift; the best first.

    Every shift at every scale is scored at once by Fourier transform: orientation correlation normalised over the
    overlap of the two images.

    Args:
        pair: the images.
        count: how many candidates that differ, at most.
    """
    w, h = pair.thermal_size
    small = (_SEARCH_WIDTH, max(8, round(h * _SEARCH_WIDTH / w)))
    fixed = structure(resized(pair.thermal, small))
    found: list[tuple[float, Matrix]] = []
    for scale in _SCALES:
        width = round(small[0] * scale)
        size = (width, max(8, round(width * pair.visible.shape[0] / pair.visible.shape[1])))
        score, shift = _best_shift(structure(resized(pair.visible, size)), fixed)
        found.append(
            (score, scaling(small, pair.thermal_size) @ translation(*shift) @ scaling(pair.visible_size, size))
        )
    return distinct(found, pair, count)


def distinct(found: Sequence[tuple[float, Matrix]], pair: ImagePair, count: int) -> list[Matrix]:
    """The maps of the highest scores that differ by more than 1/16 of the thermal image's width, the best first."""
    kept: list[Matrix] = []
    ends = np.array([[0.0, 0.0], pair.visible_size])
    for _, candidate in sorted(found, key=lambda entry: -entry[0]):
        apart = (np.abs(transform(candidate, ends) - transform(other, ends)).max() for other in kept)
        if all(distance > pair.thermal_size[0] / 16 for distance in apart):
            kept.append(candidate)
        if len(kept) == count:
            break
    return kept


def match(pair: ImagePair, visible_to_thermal: Matrix, patches: Patches) -> Correspondences:
    """Let patches of the visible image, warped by a map that is nearly right, find their partners in the thermal one.

    Args:
        pair: the images.
        visible_to_thermal: (3, 3), off by less than the reach.
        patches: size and spacing.
    """
    size = (patches.width, round(pair.thermal.shape[0] * patches.width / pair.thermal.shape[1]))
    to_level = scaling(pair.thermal_size, size)
    fixed = structure(resized(pair.thermal, size))
    moved, mask = warped_structure(pair.visible, to_level @ visible_to_thermal, size)
    half, reach = patches.side // 2, patches.reach
    margin = half + reach
    fixed, moved = _padded(fixed, margin), _padded(moved, margin)
    cover = np.pad(mask.astype(np.float32), margin)
    starts = _patch_centres(cover, moved, patches, size)
    if not len(starts):
        return Correspondences(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    surfaces_of = surfaces(fixed, moved, cover, starts + margin, half, reach)
    offsets, weights = _peaks(surfaces_of, reach)
    keep = weights > 0
    at: Points = starts[keep][:, ::-1].astype(np.float64) - 0.5  # (x, y) of the middle of an even patch
    back = inverse(to_level)
    return Correspondences(
        transform(inverse(to_level @ visible_to_thermal), at) if keep.any() else np.zeros((0, 2)),
        transform(back, np.asarray(at + offsets[keep], np.float64)) if keep.any() else np.zeros((0, 2)),
        weights[keep],
    )


def similarity(pair: ImagePair, visible_to_thermal: Matrix, width: int = 320) -> float:
    """How well the structures of a pair agree under a map, -1 to 1, at a thermal image width in pixels.

    A map under which the images hardly overlap scores less: by the root of the share of the smaller image that is left.
    """
    size = (width, max(8, round(pair.thermal.shape[0] * width / pair.thermal.shape[1])))
    to_level = scaling(pair.thermal_size, size)
    moved, mask = warped_structure(pair.visible, to_level @ visible_to_thermal, size)
    whole = abs(np.linalg.det(to_level @ visible_to_thermal)) * pair.visible.size
    share = min(1.0, float(mask.sum()) / max(1.0, min(whole, float(mask.size))))
    return agreement(moved, structure(resized(pair.thermal, size)), mask) * float(np.sqrt(share))


def resized(image: Grey, size: Size) -> Grey:
    """An image (H, W) in another size (width, height), averaged where it shrinks."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    shrinks = size[0] < image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def warped_structure(image: Grey, homography: Matrix, size: Size) -> tuple[Structure, npt.NDArray[np.bool_]]:
    """Structure of an image warped into another frame, 0 where it has no data, and where it has."""
    zoom = float(np.sqrt(abs(np.linalg.det((homography / homography[2, 2])[:2, :2]))))
    if zoom < 0.7:  # a warp alone would skip pixels
        small = (max(8, round(image.shape[1] * zoom)), max(8, round(image.shape[0] * zoom)))
        homography = homography @ scaling(small, (image.shape[1], image.shape[0]))
        image = resized(image, small)
    moved = cv2.warpPerspective(image, homography, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(np.full(image.shape, 255, np.uint8), homography, size)
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8), borderValue=0) == 255
    return structure(moved) * inside, inside


def _best_shift(moving: Structure, fixed: Structure) -> tuple[float, tuple[int, int]]:
    shape = tuple(cv2.getOptimalDFTSize(a + b) for a, b in zip(moving.shape, fixed.shape, strict=True))
    least = _LEAST_OVERLAP * min(moving.size, fixed.size)

    def spectrum(image: npt.NDArray[np.generic]) -> npt.NDArray[np.complex128]:
        return np.asarray(np.fft.fft2(image, shape))

    ones = [np.conj(spectrum(np.ones(moving.shape))), spectrum(np.ones(fixed.shape))]
    power = [np.conj(spectrum(np.abs(moving) ** 2)), spectrum(np.abs(fixed) ** 2)]
    products = (np.conj(spectrum(moving)) * spectrum(fixed), power[0] * ones[1], ones[0] * power[1], ones[0] * ones[1])
    cross, energy, other_energy, overlap = (np.fft.ifft2(product).real for product in products)
    score = cross / np.sqrt(np.maximum(energy, 1e-3) * np.maximum(other_energy, 1e-3))
    score *= np.sqrt(np.clip(overlap / min(moving.size, fixed.size), 0, 1))
    score[overlap < least] = -1
    dy, dx = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
    best = float(score[dy, dx])
    return best, (dx - shape[1] if dx > fixed.shape[1] else dx, dy - shape[0] if dy > fixed.shape[0] else dy)


def _padded(image: Structure, margin: int) -> Structure:
    return np.pad(image, margin)


def _patch_centres(cover: Grey, moved: Structure, patches: Patches, size: Size) -> npt.NDArray[np.int64]:
    """(n, 2) (row, column), without the margin, of patches with enough data and structure."""
    half, margin = patches.side // 2, patches.side // 2 + patches.reach
    box = (2 * half, 2 * half)
    data, energy = cv2.boxFilter(cover, -1, box), cv2.boxFilter(np.abs(moved) ** 2, -1, box)
    grid = np.mgrid[half // 2 : size[1] - half // 2 : patches.step, half // 2 : size[0] - half // 2 : patches.step]
    rows, columns = grid.reshape(2, -1)
    at = rows + margin, columns + margin
    keep = (data[at] > _LEAST_COVER) & (energy[at] > _LEAST_ENERGY)
    return np.stack([rows[keep], columns[keep]], 1)


def _peaks(surfaces: npt.NDArray[np.float64], reach: int) -> tuple[Points, npt.NDArray[np.float64]]:
    """Displacement (x, y) and weight of each surface's peak; a peak at the border weighs nothing."""
    offsets, weights = np.zeros((len(surfaces), 2)), np.zeros(len(surfaces))
    for index, surface in enumerate(surfaces):
        y, x = (int(i) for i in np.unravel_index(surface.argmax(), surface.shape))
        if not (0 < x < 2 * reach and 0 < y < 2 * reach):
            continue
        top = surface[y, x]
        dx = vertex(surface[y, x - 1], top, surface[y, x + 1])
        dy = vertex(surface[y - 1, x], top, surface[y + 1, x])
        offsets[index] = x - reach + dx, y - reach + dy
        others = surface.copy()
        others[max(0, y - _PEAK) : y + _PEAK + 1, max(0, x - _PEAK) : x + _PEAK + 1] = 0
        weights[index] = np.sqrt(max(top, 0) * max(0.0, top - max(others.max(), 0)))
    return offsets, weights


def vertex(before: float, top: float, after: float) -> float:
    """Where the parabola through three values peaks, from the middle one, -0.5 to 0.5."""
    bend = before - 2 * top + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
