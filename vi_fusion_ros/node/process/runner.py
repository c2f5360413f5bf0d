"""How a node of this package starts and ends as a process: its arguments, signals, and the order in which it ends.

rclpy's own signal handlers end the context at once, under whatever still works in it (a worker that publishes, a result
that has yet to be written). Ours only say that it is time; the node goes first, the context last.
"""

from __future__ import annotations

import difflib
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

N = TypeVar("N", bound=Node)
Parameters = Iterable[tuple[str, Any, str]]
"""Name, default and description of each."""

_FAILED = 2
_SHOWN = 10
_PREFIX = "failed to initialize rcl: "


def run(
    name: str,
    description: str,
    parameters: Parameters,
    args: list[str] | None,
    make: Callable[[], N],
    work: Callable[[N, threading.Event], int],
) -> int:
    """Make a node, have it work, and take everything down in order.

    Args:
        name: of the executable.
        description: what it does, for ``--help``.
        parameters: for ``--help``, and those of other nodes that may be given to this one without a warning.
        args: of the process, without the program's name; None: those of this process.
        make: makes the node; a ValueError or OSError of it is told in one sentence.
        work: returns when it has done its work or the event is set, which SIGINT and SIGTERM do. Like ``make``.

    Returns:
        The exit status: what ``work`` returned; 2 where the arguments or the node cannot be used.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    args = sys.argv[1:] if args is None else args
    parameters = list(parameters)
    try:
        own = remove_ros_args([name, *args])[1:]
    except Exception as error:
        return _refuse(name, _sentence(error))
    if {"-h", "--help"} & set(own):
        print(_help(name, description, parameters))
        return 0
    if own:
        return _refuse(
            name, f"there is no argument '{own[0]}'; parameters and remappings go behind --ros-args (--help)"
        )
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # RCLError or a class of its own, varying with the release
        return _refuse(name, _sentence(error))
    node: N | None = None
    try:
        node = make()
        for sentence in unknown_parameters(node, [parameter for parameter, _, _ in parameters]):
            node.get_logger().warning(sentence)
        return work(node, stop)
    except (ValueError, OSError) as error:
        return _refuse(name, str(error))
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def unknown_parameters(node: Node, known: Iterable[str] = ()) -> Iterable[str]:
    """A sentence about the parameters that were given to a node and that it does not have, where there are some.

    Args:
        node: that has declared its parameters.
        known: names that are all right besides.
    """
    # There is no public way to them.
    given = getattr(node, "_parameter_overrides", {})
    names = {*known, *getattr(node, "_parameters", {})}
    unknown = [name for name in given if name not in names and not name.startswith("qos_overrides.")]
    if unknown:
        listed = ", ".join(map(_named(names), unknown[:_SHOWN]))
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        yield f"these parameters are given, but there are none of these names, so they change nothing: {listed}{more}"


def _named(known: set[str]) -> Callable[[str], str]:
    def named(name: str) -> str:
        alike = difflib.get_close_matches(name, known, 1, 0.7)
        return f"{name} (did you mean {alike[0]}?)" if alike else name

    return named


def _refuse(name: str, sentence: str) -> int:
    with suppress(OSError):  # of a launch that has gone already
        sys.stderr.write(f"{name}: {sentence}\n")
    return _FAILED


def _sentence(error: Exception) -> str:
    """What rcl says, less where in its sources it says so."""
    text = " ".join(str(error).removeprefix(_PREFIX).split())
    return text.partition(", at /")[0].partition(", at ./")[0].rstrip(" ,")


def _help(name: str, description: str, parameters: Parameters) -> str:
    lines = [
        f"usage: {name} --ros-args [-p NAME:=VALUE ...] [--params-file FILE] [-r FROM:=TO ...] [--log-level LEVEL]",
        "",
        description,
        "",
        "parameters (default):",
        *(f"  {parameter} ({default!r})\n      {text}" for parameter, default, text in parameters),
    ]
    return "\n".join(lines)
