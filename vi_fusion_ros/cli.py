"""``vi-fusion``: one command per thing that the package does without ROS, and some that need it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "fuse": "fuse images, folders or videos",
    "evaluate": "measure fusion and classification, with a report",
    "benchmark": "measure latency on this machine",
    "train": "train the network",
    "tune": "search hyperparameters",
    "export": "turn a checkpoint into a model",
}
"""Each is a module of ``vi_fusion_ros.commands`` with ``add_parser(subparsers)`` and ``run(args) -> int``."""

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        The exit code: 0, or 2 after one sentence on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    parser = argparse.ArgumentParser(prog="vi-fusion", description="Fuse visible and thermal images.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    try:
        for name, purpose in COMMANDS.items():
            if name == chosen:
                # Only this one is imported: what another command needs may be absent.
                command = importlib.import_module(f"vi_fusion_ros.commands.{name}")
                command.add_parser(subparsers)
            else:
                subparsers.add_parser(name, help=purpose)
        args = parser.parse_args(arguments)  # leaves with a usage message unless ``chosen`` is a command
        return int(command.run(args))
    except ModuleNotFoundError as error:
        return _fail(f"'{chosen}' needs the Python module {error.name}, which is not installed")
    except (ValueError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted")


def _fail(sentence: str) -> int:
    print(f"vi-fusion: {sentence}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
