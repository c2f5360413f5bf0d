"""One vocabulary of labels for every dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

LABELS = ("person", "car", "bicycle")
"""Labels of the default model, in the order of its logits."""

ILLUMINATION = ("day", "night")
"""Illumination classes, in the order of the network's second classifier."""

_ALIASES = {
    "person": ("people", "pedestrian", "human", "man", "woman", "child"),
    "car": ("vehicle", "van", "suv", "sedan", "taxi"),
    "bicycle": ("bike", "cycle"),
}
_CANONICAL = {alias: label for label, aliases in _ALIASES.items() for alias in (label, *aliases)}


def canonical_label(name: str) -> str | None:
    """The vocabulary's word for a label of no particular dataset, whatever its case; None where it has none.

    >>> canonical_label("Pedestrian"), canonical_label("dog")
    ('person', None)
    """
    return _CANONICAL.get(name.strip().lower())


@dataclass(frozen=True)
class Names:
    """What the names that a dataset gives its objects say in our vocabulary. Names are in lower case.

    Attributes:
        shows: our labels that an object of this name shows.
        annotated: our labels of which the dataset annotates every object, so that none means absent. The others are
            unknown wherever no object shows them.
        unsure: our labels that an object of this name may show: unknown, unless another object shows them.
        other: names of objects that none of our labels fits; None where the annotation files define their names.
    """

    shows: dict[str, tuple[str, ...]]
    annotated: frozenset[str]
    unsure: dict[str, tuple[str, ...]] = field(default_factory=dict)
    other: frozenset[str] | None = frozenset()

    def knows(self, name: str) -> bool:
        """Whether the dataset is known to use a name, in lower case."""
        return self.other is None or name in self.shows or name in self.unsure or name in self.other


_ALL = frozenset(LABELS)

DATASET_NAMES = {
    # Its bicycles include motorcycles.
    "FLIR ADAS v1": Names(
        {"person": ("person",), "car": ("car",), "bicycle": ("bicycle",)},
        _ALL,
        other=None,
    ),
    # Its cars include vans and pick-ups; riders are annotated apart from what they ride.
    "FLIR ADAS v2": Names(
        {"person": ("person",), "car": ("car",), "bike": ("bicycle",)},
        _ALL,
        other=None,
    ),
    # A group too dense to tell apart is "people". Of the bicycles, only those that are ridden are annotated.
    "KAIST": Names(
        {"person": ("person",), "people": ("person",), "cyclist": ("person", "bicycle")},
        frozenset({"person"}),
        unsure={"person?": ("person",), "person?a": ("person",)},
    ),
    "LLVIP": Names(
        {"person": ("person",)},
        frozenset({"person"}),
    ),
    # It has no class for bicycles, and does not say whether its motorcycles include them: they stay unknown.
    "M3FD": Names(
        {"people": ("person",), "car": ("car",)},
        frozenset({"person", "car"}),
        other=frozenset({"bus", "lamp", "motorcycle", "truck"}),
    ),
    "MSRS": Names(
        {"person": ("person",), "car": ("car",), "bike": ("bicycle",)},
        _ALL,
        other=frozenset({"unlabelled", "curve", "car stop", "guardrail", "color cone", "bump"}),
    ),
}
"""The names of each dataset that has its own; the crops and RoadScene go by ``canonical_label``."""
