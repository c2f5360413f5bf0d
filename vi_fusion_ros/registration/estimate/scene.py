"""Calibration from ordinary scenes: the one map that all pairs of a rig agree on. docs/registration.md explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.registration.estimate.coarse import (
    AGAIN_SCALES,
    SMALL_TURN_DEG,
    WIDE_SCALES,
    Upright,
    apart,
    each,
    elsewhere,
    most_structured,
    search_again,
    search_wide,
    structured,
    upright,
)
from vi_fusion_ros.registration.estimate.matching import (
    SEARCHED_SCALES,
    Correspondences,
    ImagePair,
    Patches,
    match,
    search,
    similarity,
)
from vi_fusion_ros.registration.planar import MODELS, Points, corner_error, equal_width, fit, inverse
from vi_fusion_ros.registration.rig import Camera, Matrix, Rig, Size, scaling

Lenses = tuple[Camera | None, Camera | None]
"""Thermal and visible one; None: not known."""

Figures = npt.NDArray[np.float64]

LEAST_SUPPORT = 5.0
"""A pair, of several. docs/registration.md has what pairs of different scenes reach."""

LEAST_EVIDENCE = 28.0
"""Of the wide search. docs/registration.md has what pairs of different scenes reach."""

_CLEARLY = 1.3  # times the next best that differs: less is no answer
# Patches overlap, so those that a chance match ties agree among each other, and a map runs through two such groups for
# nothing: 6 of support is no proof, whatever the number of pairs. The rest of the patches add some for each by chance.
# Of one pair the support that is left without the two groups with the most has to be enough as well.
_GROUPS_BY_CHANCE, _PATCH_BY_CHANCE = 6.0, 0.024
_LEAST_ELSEWHERE, _ELSEWHERE_BY_CHANCE = 1.0, 0.012
_BEYOND_DOUBT = 1.5  # times what is needed: near equal width nothing else is searched then
_REPEATS = 1.1  # times the evidence that the same map has when it is shifted
_MOST_APART = 0.12  # distance between the cameras beside that of the scene, with known lenses
_SEARCHED_TOGETHER = 4  # pairs that the wide search looks at, which is what takes time
_NEAR = f"shifts at {SEARCHED_SCALES[0]:g} to {SEARCHED_SCALES[1]:g} times equal width"
_NEAR_AGAIN = f"shifts at {AGAIN_SCALES[0]:g} to {AGAIN_SCALES[1]:g} times equal width, a second time"
_WIDE = (
    f"0, 90, 180 and 270 degrees and up to {SMALL_TURN_DEG:g} to either side, mirrored or not, at {WIDE_SCALES[0]:g} "
    f"to {WIDE_SCALES[1]:g} times the size"
)

_CANDIDATES = 3
_AGAIN_CANDIDATES, _AGAIN_REFINED = 60, 2  # of one pair
_AGAIN_PATCHES = Patches(320, 48, 14, 32)
_COARSE = (Patches(320, 48, 14, 24), Patches(320, 48, 10, 16))
_FINE = (Patches(640, 64, 12, 32), Patches(640, 64, 8, 24))
_WIDTHS_PX = {"coarse": (8.0, 5.0), "fine": (6.0, 4.0)}
_FOLDS = 5
_WIN = 1.01  # more freedom has to explain that much more of the pairs held back
_RESAMPLES = 30
_CELLS = (6, 5)  # columns and rows of places in the image that are resampled with all that lies in them
_SEARCHED = 8  # pairs that are searched alone, which is what takes time; refined is on all


@dataclass(frozen=True)
class PairReport:
    """What one pair says about the rig.

    Attributes:
        name: of the pair.
        support: how much structure of it agrees with the rig; below ``LEAST_SUPPORT`` it says nothing.
        residual_px: median distance of its correspondences from the rig, thermal pixels; None without any.
    """

    name: str
    support: float
    residual_px: float | None


@dataclass(frozen=True, eq=False)
class SceneCalibration:
    """The outcome.

    Attributes:
        H_thermal_to_visible: (3, 3).
        thermal_size: (width, height).
        visible_size: (width, height).
        model: which of ``planar.MODELS`` won on the correspondences held back.
        uncertainty_px: standard deviation of the corners, over resampled pairs and places in the image, visible pixels.
        held_back: similarity of each pair under the map fitted without it (a single pair: with it), -1 to 1.
        fitted: the same under the map fitted with it.
        start: the same for plain rescaling to equal width.
        pairs: what each says.
        searched: what was searched and what won, for people.
    """

    H_thermal_to_visible: Matrix
    thermal_size: Size
    visible_size: Size
    model: str
    uncertainty_px: float
    held_back: Figures
    fitted: Figures
    start: Figures
    pairs: tuple[PairReport, ...]
    searched: str

    @property
    def similarity(self) -> float:
        """Mean of ``held_back``."""
        return float(self.held_back.mean())

    @property
    def similarity_at_start(self) -> float:
        """Mean of ``start``."""
        return float(self.start.mean())

    @property
    def residual_px(self) -> float | None:
        """Median over the pairs of their residuals, thermal pixels; None where no pair has one."""
        residuals = [pair.residual_px for pair in self.pairs if pair.residual_px is not None]
        return float(np.median(residuals)) if residuals else None


def calibrate(pairs: Sequence[ImagePair], lenses: Lenses = (None, None)) -> SceneCalibration:
    """Find the map from thermal to visible pixels that all pairs agree on.

    First it is looked for near equal width, upright: each pair is searched and roughly fitted alone; the candidate that
    most pairs like is refined on all together. Where that finds too little, every quarter turn, mirrored or not, small
    turns and scales of 0.2 to 5 are searched on some pairs together, and the pose that stands out is refined.

    Args:
        pairs: of one rig, all of the same sizes.
        lenses: thermal and visible one where they are known, for images of these sizes: their distortion is taken out
            first, and the map is between pixels without it.

    Raises:
        ValueError: no pairs, sizes that differ, too little common structure, two answers that are equally good, or
            lenses that the map contradicts.
    """
    if not pairs:
        raise ValueError("there is no pair to calibrate from; expected at least one")
    sizes = {(pair.visible_size, pair.thermal_size) for pair in pairs}
    if len(sizes) > 1:
        raise ValueError(f"the pairs have {len(sizes)} different sizes; expected those of one rig")
    if not any(map(structured, pairs)):
        raise ValueError("the images share too little structure: in each pair at least one of them is blank")
    visible_size, thermal_size = next(iter(sizes))
    pairs = [_undistorted(pair, *lenses) for pair in pairs]
    answer = _found(pairs)
    if answer.rival:
        raise ValueError(
            f"two answers are equally good: {answer.rival}; searched were {answer.searched}; expected images of one "
            "scene and moment that do not repeat themselves; give more, of different places"
        )
    frame, found, groups = answer.frame, answer.found, answer.groups
    final = frame.as_given(answer.visible_to_thermal)
    start = inverse(equal_width(visible_size, thermal_size))
    back = inverse(final)
    _require_uncontradicted(lenses, back)
    upright_sizes = frame.pairs[0].thermal_size, frame.pairs[0].visible_size
    return SceneCalibration(
        back / back[2, 2],
        thermal_size,
        visible_size,
        answer.model,
        _uncertainty(groups, answer.visible_to_thermal, *upright_sizes, answer.model),
        np.array(_held_back(pairs, answer)),
        np.array(each(partial(similarity, visible_to_thermal=final), pairs)),
        np.array(each(partial(similarity, visible_to_thermal=start), pairs)),
        tuple(_report(pair, one, answer.visible_to_thermal) for pair, one in zip(pairs, found, strict=True)),
        answer.searched,
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """A map that is refined on all pairs, between the pixels of ``frame.pairs``."""

    frame: Upright
    found: list[Correspondences]
    groups: list[Correspondences]
    model: str
    visible_to_thermal: Matrix
    support: float  # a pair
    searched: str

    @cached_property
    def proof(self) -> tuple[str, float, float]:
        """Support that chance does not give, a pair, and how much of it is needed; of the kind nearest to fail."""
        pairs = len(self.found)
        patches = sum(len(one.weights) for one in self.found) / pairs
        least = max(LEAST_SUPPORT, (_GROUPS_BY_CHANCE + _PATCH_BY_CHANCE * patches) / pairs)
        proofs = [("support", self.support, least)]
        if pairs == 1:
            side = _FINE[-1].side * self.frame.pairs[0].thermal_size[0] / _FINE[-1].width
            left = _without_groups(self.found[0], self.visible_to_thermal, side)
            least = _LEAST_ELSEWHERE + _ELSEWHERE_BY_CHANCE * patches
            proofs.append(("support outside of the two places with the most", left, least))
        return min(proofs, key=lambda proof: proof[1] / proof[2])

    @property
    def certainty(self) -> float:
        """The proof beside what is needed of it: below 1 the answer may be one by chance."""
        return self.proof[1] / self.proof[2]

    @property
    def said(self) -> str:
        """The figures that decide, part of a sentence."""
        return f"{self.proof[0]} {self.proof[1]:.1f}, expected {self.proof[2]:.1f} or more"

    @cached_property
    def rival(self) -> str:
        """What fits as well when it is shifted, where the scenes repeat themselves; else empty."""
        chosen = most_structured(self.frame.pairs, _SEARCHED_TOGETHER)
        here, there, shifted = elsewhere(chosen, self.visible_to_thermal)
        least = max(LEAST_EVIDENCE, here / _REPEATS)  # chance alone makes the former
        if there < least or self._support_of(shifted) * _CLEARLY < self.support:
            return ""
        return (
            f"the likeliest (evidence {here:.1f}) and the same shifted (evidence {there:.1f}; expected less than "
            f"{least:.1f})"
        )

    def _support_of(self, visible_to_thermal: Matrix) -> float:
        """That of another map between the same images, once it is refined."""
        try:
            return _refined(self.frame, visible_to_thermal, "").support
        except ValueError:
            return 0.0

    def is_like(self, other: _Answer, sizes: tuple[Size, Size]) -> bool:
        """Whether it is another estimate of the same; of the same pairs."""
        one, two = (each.frame.as_given(each.visible_to_thermal) for each in (self, other))
        return not apart(one, two, *sizes)


def _found(pairs: Sequence[ImagePair]) -> _Answer:
    """The answer near equal width where it is beyond doubt, else the better one of it and the wide search's."""
    near: _Answer | None = None
    for look in (_near, _again):
        found = look(pairs)
        if found is not None and (near is None or found.certainty > near.certainty):
            near = found
        if near is not None and near.certainty >= _BEYOND_DOUBT and not near.rival:
            return near
    looked = _NEAR if len(pairs) > 1 else f"{_NEAR}, and {_NEAR_AGAIN}"
    said = f"{looked} ({'nothing found' if near is None else near.said})"
    try:
        wide = _wide(pairs, said)
    except ValueError:
        if near is None or near.certainty < 1:
            raise
        return near
    if near is None or near.certainty < 1 or wide.support > _CLEARLY * near.support:
        return wide
    if near.is_like(wide, (pairs[0].visible_size, pairs[0].thermal_size)):
        return near
    raise ValueError(
        f"two answers are equally good: near equal width (support {near.support:.1f}) and {wide.searched} (support "
        f"{wide.support:.1f}); give more images, of different places"
    )


def _near(pairs: Sequence[ImagePair]) -> _Answer | None:
    rough = _most_liked(pairs, each(_alone, pairs[:: -(-len(pairs) // _SEARCHED)]))
    try:
        return _refined(Upright.as_they_are(pairs, rough), rough, _NEAR)
    except ValueError:
        return None


def _again(pairs: Sequence[ImagePair]) -> _Answer | None:
    """Of one pair, the best of many candidates near equal width; None of several, which make up for each other."""
    if len(pairs) > 1:
        return None
    pair = pairs[0]

    def tried(candidate: Matrix) -> tuple[float, Matrix]:
        try:
            some = match(pair, candidate, _AGAIN_PATCHES)
            return _fit(some, candidate, pair.visible_size, "shift_scale", "coarse")[::-1]
        except ValueError:  # too few patches: no candidate
            return 0.0, candidate

    rough = sorted(each(tried, search_again(pair, _AGAIN_CANDIDATES)), key=lambda entry: -entry[0])
    answers = []
    for _, start in rough[:_AGAIN_REFINED]:
        try:
            answers.append(_refined(Upright.as_they_are(pairs, start), start, f"{_NEAR}, and {_NEAR_AGAIN}"))
        except ValueError:
            continue
    return max(answers, key=lambda answer: answer.certainty, default=None)


def _wide(pairs: Sequence[ImagePair], before: str) -> _Answer:
    chosen = most_structured(pairs, _SEARCHED_TOGETHER)
    poses = search_wide(chosen, 2)
    said = f"searched were {before}, and {_WIDE}"
    if not poses or poses[0].score < LEAST_EVIDENCE:
        raise ValueError(
            f"the images share too little structure (evidence {poses[0].score if poses else 0:.1f}, expected "
            f"{LEAST_EVIDENCE:g} or more); {said}; expected images of one scene and moment"
        )
    if len(poses) > 1 and poses[0].score < _CLEARLY * poses[1].score:
        raise ValueError(
            f"two answers are equally good: {poses[0]} (evidence {poses[0].score:.1f}), and {poses[1]} (evidence "
            f"{poses[1].score:.1f}; expected less than {poses[0].score / _CLEARLY:.1f}); {said}; expected images of "
            "one scene and moment; give more of them, with structure that both cameras see"
        )
    frame = upright(pairs, poses[0])
    answer = _refined(frame, frame.start, f"{before}, and {_WIDE}; won: {poses[0]} (evidence {poses[0].score:.1f})")
    if answer.certainty < 1:
        raise ValueError(
            f"the images share too little structure ({answer.said}, at the likeliest of all: {poses[0]}); {said}; "
            "expected images of one scene and moment"
        )
    return answer


def _refined(frame: Upright, rough: Matrix, searched: str) -> _Answer:
    """A map that is nearly right, refined on all pairs together.

    Raises:
        ValueError: nothing in one image was found in the other.
    """
    pairs, size = frame.pairs, frame.pairs[0].visible_size
    found: list[Correspondences] = []
    for patches in (*_COARSE[1:], *_FINE):
        found = each(partial(match, visible_to_thermal=rough, patches=patches), pairs)
        if not any(one.weights.any() for one in found):
            raise ValueError("the images share too little structure: nothing in one was found in the other")
        rough = _fit(_group(found), rough, size, "homography", "fine")[0]
    groups = found if len(pairs) > 1 else _split(found[0])
    model = _best_model(groups, rough, size)
    final, support = _fit(_group(groups), rough, size, model, "fine")
    return _Answer(frame, found, groups, model, final, support / len(pairs), searched)


def rig_similarity(pairs: Sequence[ImagePair], rig: Rig) -> Figures:
    """How well the pairs agree under a rig, its lenses included: (n,), each -1 to 1.

    Raises:
        ValueError: the pairs' sizes do not fit the rig.
    """
    return np.array([similarity(*_straight(pair, rig)) for pair in pairs])


def _straight(pair: ImagePair, rig: Rig) -> tuple[ImagePair, Matrix]:
    """A pair with its lenses' distortion taken out, and its map from visible to thermal pixels."""
    back = inverse(rig.homography(pair.thermal_size, pair.visible_size))
    thermal, visible = (
        None if camera is None or made_for is None else replace(camera, matrix=scaling(made_for, size) @ camera.matrix)
        for camera, made_for, size in (
            (rig.thermal_camera, rig.thermal_size, pair.thermal_size),
            (rig.visible_camera, rig.visible_size, pair.visible_size),
        )
    )
    return _undistorted(pair, thermal, visible), back


def _undistorted(pair: ImagePair, thermal: Camera | None, visible: Camera | None) -> ImagePair:
    """A pair with the distortion of its lenses taken out, each for images of its size; None: as it is."""
    images = []
    for image, lens in ((pair.visible, visible), (pair.thermal, thermal)):
        if lens is None:
            images.append(image)
        elif lens.equidistant:
            images.append(np.asarray(cv2.fisheye.undistortImage(image, lens.matrix, lens.distortion, Knew=lens.matrix)))
        else:
            images.append(np.asarray(cv2.undistort(image, lens.matrix, lens.distortion)))
    return ImagePair(images[0], images[1], pair.name)


def _require_uncontradicted(lenses: Lenses, thermal_to_visible: Matrix) -> None:
    """Refuse lenses with which the map is none of a plane that two cameras beside each other see.

    Between rays it is R + t n^T / d (a plane with the normal n at the distance d): the singular values of R are 1, and
    those of the sum have a ratio of about 1 + |t| / d. A focal length that is wrong by a share makes it 1 + that share.

    Raises:
        ValueError: it is more than any rig has.
    """
    thermal, visible = lenses
    if thermal is None or visible is None:
        return
    values = np.linalg.svd(inverse(visible.matrix) @ thermal_to_visible @ thermal.matrix, compute_uv=False)
    stretch = float(values[0] / values[2]) - 1
    if stretch > _MOST_APART:
        raise ValueError(
            f"the images contradict the given intrinsics: with them the map stretches by {100 * stretch:.0f} %, "
            f"expected less than {100 * _MOST_APART:.0f} % of cameras beside each other; are they of these cameras, "
            "lenses and resolutions?"
        )


def _alone(pair: ImagePair) -> tuple[float, Matrix]:
    """The best map for a pair by itself, visible to thermal, and its support."""
    best = (0.0, inverse(equal_width(pair.visible_size, pair.thermal_size)))
    for candidate in search(pair, _CANDIDATES):
        support = 0.0
        for patches, model in zip(_COARSE, ("shift_scale", "similarity"), strict=True):
            try:
                candidate, support = _fit(
                    match(pair, candidate, patches), candidate, pair.visible_size, model, "coarse"
                )
            except ValueError:  # too few patches: no candidate
                support = 0.0
                break
        if support > best[0]:
            best = (support, candidate)
    return best


def _most_liked(pairs: Sequence[ImagePair], alone: list[tuple[float, Matrix]]) -> Matrix:
    candidates = sorted(alone, key=lambda entry: -entry[0])[:_FOLDS]
    jury = pairs[:: max(1, len(pairs) // 10)]
    return max(candidates, key=lambda entry: sum(similarity(pair, entry[1], 160) for pair in jury))[1]


def _group(groups: Iterable[Correspondences]) -> Correspondences:
    several = list(groups)
    return Correspondences(
        np.concatenate([one.visible for one in several]),
        np.concatenate([one.thermal for one in several]),
        np.concatenate([one.weights for one in several]),
    )


def _split(one: Correspondences) -> list[Correspondences]:
    """A single pair in interleaved parts, which then stand for pairs."""
    parts = [slice(first, None, _FOLDS) for first in range(_FOLDS)]
    return [Correspondences(one.visible[part], one.thermal[part], one.weights[part]) for part in parts]


def _fit(some: Correspondences, start: Matrix, size: Size, model: str, width: str) -> tuple[Matrix, float]:
    # What holds one pair back from flying away at empty corners is not needed where many fill each other's gaps.
    ridge = min(0.03, 10 / max(1, len(some.weights)))
    return fit(some.visible, some.thermal, some.weights, start, size, model, _WIDTHS_PX[width], ridge)


def _support(some: Correspondences, visible_to_thermal: Matrix) -> float:
    if not len(some.weights):
        return 0.0
    return float(_supports(some, visible_to_thermal).sum())


def _supports(some: Correspondences, visible_to_thermal: Matrix) -> Figures:
    off = _distances(some, visible_to_thermal)
    return np.asarray(some.weights / (1 + (off / _WIDTHS_PX["fine"][1]) ** 2) ** 2)


def _without_groups(some: Correspondences, visible_to_thermal: Matrix, side: float) -> float:
    """Support without that of the two places, a side (thermal pixels) to every side, that have the most of it."""
    left = _supports(some, visible_to_thermal)
    together = np.abs(some.thermal[:, None] - some.thermal[None]).max(2) < side
    for _ in range(2):
        left = np.where(together[int((together @ left).argmax())], 0, left)
    return float(left.sum())


def _distances(some: Correspondences, visible_to_thermal: Matrix) -> np.ndarray:
    mapped = np.c_[some.visible, np.ones(len(some.visible))] @ visible_to_thermal.T
    return np.asarray(np.linalg.norm(mapped[:, :2] / mapped[:, 2:] - some.thermal, axis=1))


def _folds(count: int) -> list[list[int]]:
    folds = [list(range(first, count, _FOLDS)) for first in range(_FOLDS)]
    return [fold for fold in folds if fold]


def _best_model(groups: Sequence[Correspondences], start: Matrix, size: Size) -> str:
    """The model of the lowest degree that explains held-back groups as well as any."""
    best, best_support = MODELS[0], 0.0
    for model in MODELS:
        support = 0.0
        for fold in _folds(len(groups)):
            kept = [group for index, group in enumerate(groups) if index not in fold] or list(groups)
            try:
                fitted = _fit(_group(kept), start, size, model, "fine")[0]
            except ValueError:
                continue
            support += sum(_support(groups[index], fitted) for index in fold)
        if support > best_support * _WIN:
            best, best_support = model, support
    return best


def _held_back(pairs: Sequence[ImagePair], answer: _Answer) -> list[float]:
    """Similarity of each pair under the map fitted without its fold."""
    frame, found, size = answer.frame, answer.found, answer.frame.pairs[0].visible_size
    if len(pairs) == 1:
        return [similarity(pairs[0], frame.as_given(answer.visible_to_thermal))]
    scores = []
    for fold in _folds(len(pairs)):
        kept = [one for index, one in enumerate(found) if index not in fold]
        fitted = _fit(_group(kept), answer.visible_to_thermal, size, answer.model, "fine")[0]
        scores += [similarity(pairs[index], frame.as_given(fitted)) for index in fold]
    return scores


def _uncertainty(groups: Sequence[Correspondences], final: Matrix, thermal: Size, visible: Size, model: str) -> float:
    """Standard deviation of the corners, pairs and places in the image both resampled.

    Pairs alone would not do: those of a rig that stands still all show one scene and are wrong together.
    """
    random = np.random.default_rng(0)
    back = inverse(final)
    cells = [_cells(group.visible, visible) for group in groups]
    square = []
    for _ in range(_RESAMPLES):
        of_pair, of_cell = (
            np.bincount(random.integers(0, n, n), minlength=n) for n in (len(groups), _CELLS[0] * _CELLS[1])
        )
        drawn = [
            Correspondences(group.visible, group.thermal, group.weights * times * of_cell[cell])
            for group, times, cell in zip(groups, of_pair, cells, strict=True)
        ]
        try:
            fitted = _fit(_group(drawn), final, visible, model, "fine")[0]
        except ValueError:
            continue
        square.append(corner_error(inverse(fitted), back, thermal) ** 2)
    return float(np.sqrt(np.mean(square))) if square else float("inf")


def _cells(points: Points, size: Size) -> npt.NDArray[np.int64]:
    """In which of the ``_CELLS`` of an image of (width, height) points (n, 2) lie, (n,)."""
    across, down = (
        np.clip(points[:, axis] * _CELLS[axis] / size[axis], 0, _CELLS[axis] - 1).astype(np.int64) for axis in (0, 1)
    )
    return np.asarray(down * _CELLS[0] + across)


def _report(pair: ImagePair, some: Correspondences, final: Matrix) -> PairReport:
    residual = float(np.median(_distances(some, final))) if len(some.weights) else None
    return PairReport(pair.name, _support(some, final), residual)
