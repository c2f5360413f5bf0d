"""What is worth a line of the log when a state may change at every frame."""

from __future__ import annotations


class ChangeLog:
    """Tells a change at once, then at most once a period, with how many changes there were.

    A state that goes back and forth is told at the end of each period as it is then, so the last line is never older
    than a period.

    Args:
        every_s: the period, seconds.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._state: str | None = None
        self._changes = 0  # not told yet
        self._told_s: float | None = None

    def due(self, state: str, now_s: float) -> int:
        """Take in the state of now.

        Args:
            state: any text that is the same while nothing changes.
            now_s: of a clock that does not jump, seconds.

        Returns:
            How many changes a line that is written now stands for; 0: write none.
        """
        if state != self._state:
            self._state = state
            self._changes += 1
        if not self._changes or (self._told_s is not None and now_s - self._told_s < self._every_s):
            return 0
        told, self._changes, self._told_s = self._changes, 0, now_s
        return told
