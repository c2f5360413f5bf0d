"""matplotlib without a display, and only where a report is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0b6bcb", "#d1495b", "#2e8b57", "#8e5ea2", "#e08e0b", "#4a4a4a")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window; sizes in inches.

    Raises:
        ValueError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("--report needs matplotlib; install it: pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")
