"""Arguments of the form NAME=PATH."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def named_paths(words: Iterable[str], kind: str) -> dict[str, Path]:
    """Paths by name.

    Args:
        words: each ``NAME=PATH``.
        kind: what the sentence calls a path, for example ``DIR``.

    Raises:
        ValueError: a word has another form, or a name comes twice.
    """
    paths: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path) or name in paths:
            raise ValueError(f"'{word}'; expected NAME={kind}, each name once")
        paths[name] = Path(path)
    return paths
