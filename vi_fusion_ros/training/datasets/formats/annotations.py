"""From the objects that an annotation file draws to what a sample knows of our labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from vi_fusion_ros.training.datasets.base import Box, DatasetError, PairDataset, Problem, pair_by_stem
from vi_fusion_ros.training.datasets.labels import DATASET_NAMES, Names


class Drawn(NamedTuple):
    """An object as the annotation file has it: its own name, and its corners in pixels, not checked (see ``Box``)."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float


class Labelling(NamedTuple):
    """What is known of one image.

    Attributes:
        present: labels that an object shows.
        known: labels whose presence or absence is known.
        boxes: one for each label of each object.
        faults: one clause for each object that was not used.
    """

    present: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    boxes: tuple[Box, ...] = ()
    faults: tuple[str, ...] = ()


UNKNOWN = Labelling()


def labelling(drawn: Iterable[Drawn], names: Names) -> Labelling:
    """Put the objects of one image into our vocabulary.

    An object whose box makes no sense, or whose name leaves it open, makes its labels unknown rather than absent.
    """
    present: set[str] = set()
    doubtful: set[str] = set()
    boxes: list[Box] = []
    faults = []
    for item in drawn:
        name, corners = item.name.strip().lower(), item[1:]
        shown = names.shows.get(name, ())
        doubtful.update(names.unsure.get(name, ()))
        if not names.knows(name):
            expected = ", ".join(sorted({*names.shows, *names.unsure, *(names.other or ())}))
            faults.append(f"label '{item.name}' is unknown; expected one of {expected}")
        elif not all(map(math.isfinite, corners)) or item.x0 >= item.x1 or item.y0 >= item.y1:
            faults.append(f"box {_text(corners)} of '{item.name}' is empty; expected numbers, x0 < x1, y0 < y1")
            doubtful.update(shown)
        else:
            present.update(shown)
            boxes += [Box(label, *corners) for label in shown]
    known = (names.annotated - doubtful) | present
    return Labelling(frozenset(present), frozenset(known), tuple(boxes), tuple(faults))


def together(first: Labelling, second: Labelling) -> Labelling:
    """What two annotations of one scene say of the pair; the boxes are those of the first."""
    present = first.present | second.present
    return Labelling(present, (first.known & second.known) | present, first.boxes)


class AnnotatedPairs(PairDataset):
    """Base of the adapters with annotation files.

    Args:
        root: the dataset's folder.
        name: key of ``labels.DATASET_NAMES``.
    """

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root, name)
        self.names = DATASET_NAMES[name]

    def pairs(self, visible: Path, thermal: Path) -> list[tuple[str, Path, Path]]:
        """As ``pair_by_stem``; images without partner, and a missing folder, are noted in ``problems``."""
        try:
            pairs, problems = pair_by_stem(visible, thermal)
        except DatasetError as error:
            pairs, problems = [], [Problem.of(error, "pairing")]
        self.problems += problems
        return pairs

    def labelled(self, path: Path, read: Callable[[Path], Iterable[Drawn]]) -> Labelling:
        """What an annotation file says; with one that cannot be read, all is unknown. Faults go to ``problems``.

        Args:
            path: the file.
            read: turns it into objects; raises ``DatasetError`` where it cannot.
        """
        try:
            drawn = list(read(path))
        except DatasetError as error:
            self.problems.append(Problem.of(error, "label"))
            return UNKNOWN
        return self.checked(path, drawn)

    def checked(self, path: Path, drawn: Iterable[Drawn]) -> Labelling:
        """``labelling`` in the dataset's own names; its faults go to ``problems``, under ``path``."""
        found = labelling(drawn, self.names)
        self.problems += [Problem(path, fault, "label") for fault in found.faults]
        return found


def read_text(path: Path) -> str:
    """The text of an annotation file, never empty. Bytes that are no UTF-8 are replaced: names and numbers are ASCII.

    Raises:
        DatasetError: the file is missing or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected the annotation of an image") from error
    if not text.strip():
        raise DatasetError(f"{path}: empty; expected the annotation of an image")
    return text


def number(text: str | None) -> float:
    """A number of an annotation file; NaN where it is none, so that the box it belongs to is refused as a whole."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def _text(corners: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{corner:g}" for corner in corners) + "]"
