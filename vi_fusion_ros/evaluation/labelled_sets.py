"""Sets of labelled frames to judge a model by: a folder or a zip file, all of it or some of its blocks."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vi_fusion_ros.evaluation.prediction import open_dataset
from vi_fusion_ros.training.datasets import layouts
from vi_fusion_ros.training.datasets.archives import as_folder
from vi_fusion_ros.training.datasets.base import PairDataset, Sample

SINGLE = "single"
"""The layout whose folders may hold several sets."""


@dataclass(frozen=True)
class WantedSet:
    """What a user asks for.

    Attributes:
        path: folder of a dataset, or a zip file of one.
        layout: key of ``layouts.CLASSIFIED``; guessed from the folders where not given.
        ranges: (low, high) of ``Sample.order``, low included and high not; all samples where there is none.
    """

    path: Path
    layout: str | None = None
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class LabelledSet:
    """Some samples of a dataset.

    Attributes:
        name: unique among those that are judged together.
        wanted: what was asked for.
        layout: key of ``layouts.CLASSIFIED``.
        root: folder of the dataset.
        indices: of the chosen samples.
    """

    name: str
    wanted: WantedSet
    layout: str
    root: Path
    indices: tuple[int, ...]

    def open(self) -> PairDataset:
        """The whole dataset."""
        return open_dataset(self.layout, self.root)

    @property
    def samples(self) -> list[Sample]:
        """The chosen ones."""
        samples = self.open().samples
        return [samples[index] for index in self.indices]

    def of(self, indices: Sequence[int]) -> LabelledSet:
        """The same set with fewer samples."""
        return replace(self, indices=tuple(indices))


@contextlib.contextmanager
def opened(wanted: Sequence[WantedSet]) -> Iterator[list[LabelledSet]]:
    """The sets, as long as the block lasts; zip files are unpacked for that time.

    A folder of the layout ``single`` gives one set for each folder that its images lie in.

    Raises:
        ValueError: one of them cannot be used, is given twice, or has no sample in its ranges; one sentence.
    """
    with contextlib.ExitStack() as unpacked:
        found: list[LabelledSet] = []
        for number, one in enumerate(wanted):
            if any((one.path, one.ranges) == (other.path, other.ranges) for other in wanted[:number]):
                raise ValueError(f"{one.path} is given twice; expected different sets")
            found += _sets(one, unpacked.enter_context(as_folder(one.path)))
        yield _named_apart(found)


def _sets(wanted: WantedSet, root: Path) -> list[LabelledSet]:
    layout = wanted.layout or layouts.guess_layout(root, layouts.CLASSIFIED)
    dataset = open_dataset(layout, root)
    dataset.require()
    inside = [i for i, sample in enumerate(dataset.samples) if _is_in(sample.order, wanted.ranges)]
    if not inside:
        orders = [sample.order for sample in dataset.samples]
        raise ValueError(
            f"{wanted.path}: none of its {len(orders)} samples lies in {_shown(wanted.ranges)}; expected a part of "
            f"{min(orders)} to {max(orders)}"
        )
    by_name: dict[str, list[int]] = {}
    for index in inside:
        by_name.setdefault(_name(wanted.path, layout, dataset.samples[index]), []).append(index)
    return [LabelledSet(name, wanted, layout, root, tuple(indices)) for name, indices in by_name.items()]


def _is_in(order: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return not ranges or any(low <= order < high for low, high in ranges)


def _name(path: Path, layout: str, sample: Sample) -> str:
    part = Path(sample.name).parent.name if layout == SINGLE else ""
    return part or path.resolve().stem


def _shown(ranges: tuple[tuple[int, int], ...]) -> str:
    return " and ".join(f"{low} to {high}" for low, high in ranges)


def _named_apart(sets: list[LabelledSet]) -> list[LabelledSet]:
    """The sets under names that no other has: with path and ranges, where that is needed."""
    count = Counter(one.name for one in sets)
    return [one if count[one.name] == 1 else replace(one, name=_long_name(one)) for one in sets]


def _long_name(one: LabelledSet) -> str:
    name = f"{one.wanted.path} {one.name}" if one.layout == SINGLE else str(one.wanted.path)
    return f"{name}, {_shown(one.wanted.ranges)}" if one.wanted.ranges else name
