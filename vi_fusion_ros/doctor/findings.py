"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad a finding is. NOTE is a fact to know, nothing to mend."""

    OK = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True)
class Finding:
    """One fact.

    Attributes:
        section: part of the machine: ``DDS``.
        subject: what was looked at: ``net.core.rmem_max``.
        level: how bad it is.
        says: what is there, one phrase.
        advice: what to do about it, one sentence; empty where there is nothing to do.
    """

    section: str
    subject: str
    level: Level
    says: str
    advice: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    """0: nothing to mend; 1: it will work, with warnings; 2: something that is needed is broken or missing."""
    worst = max((finding.level for finding in findings), default=Level.OK)
    return {Level.WARNING: 1, Level.ERROR: 2}.get(worst, 0)
