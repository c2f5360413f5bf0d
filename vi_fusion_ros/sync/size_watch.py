"""Whether the images of a stream keep their size."""

from __future__ import annotations

Size = tuple[int, int]
"""Width and height, pixels."""


class SizeWatch:
    """Follows the sizes of the images of one stream, as they are used.

    Attributes:
        changes: images of another size than the one before.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._last: Size | None = None

    def take(self, size: Size) -> str:
        """Take note of an image; a clause that says what changed, the first time only, else an empty one."""
        before, self._last = self._last, size
        if before is None or before == size:
            return ""
        self.changes += 1
        if self.changes > 1:
            return ""
        return f"images of {size[0]}x{size[1]} came after some of {before[0]}x{before[1]}"
