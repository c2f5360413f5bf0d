"""DDS domains for tests, none of which another test suite on this machine uses at the same time."""

from __future__ import annotations

import itertools
import socket

_FIRST, _SUITES, _OF_ONE_SUITE = 102, 8, 16  # 102 to 229; people's robots are mostly below


def _reserve() -> tuple[socket.socket, int]:
    """The first of this process's domains, and what keeps it reserved until the process ends, however it does.

    An abstract socket: it belongs to the network namespace, as DDS does, and needs no file that somebody has to remove.
    """
    for suite in range(_SUITES):
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0vi_fusion_ros/test_domains/{suite}")
        except OSError:
            reservation.close()
        else:
            return reservation, _FIRST + suite * _OF_ONE_SUITE
    raise RuntimeError(f"{_SUITES} test suites run on this machine already; each needs DDS domains of its own")


_reservation, _first = _reserve()
_domains = itertools.cycle(range(_first, _first + _OF_ONE_SUITE))


def next_domain() -> int:
    """A DDS domain that no other test of this process has used lately, and no other process."""
    return next(_domains)
