"""Taking things down to the end, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vi_fusion_ros.errors import sentence


def take_down(steps: Iterable[Callable[[], object]], report: Callable[[str], object]) -> None:
    """Run every step in order; what one raises is reported and the next one runs.

    A subscription or a thread that is left over because an earlier step failed would go on working for a node that says
    that it has stopped.

    Args:
        steps: each ends one thing.
        report: takes one sentence about each exception; must not raise.
    """
    for step in steps:
        try:
            step()
        except Exception as error:
            report(f"while stopping: {sentence(error)}")
