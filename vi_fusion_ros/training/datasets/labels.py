"""One vocabulary of labels for every dataset."""

from __future__ import annotations

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
    """The vocabulary's word for a dataset's own label, whatever its case; None where it has none.

    >>> canonical_label("Pedestrian"), canonical_label("dog")
    ('person', None)
    """
    return _CANONICAL.get(name.strip().lower())
