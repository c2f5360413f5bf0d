"""``vi-fusion``: what can be done without a running ROS graph, and benchmarks.

One folder a group of commands, imported when asked for; nothing else in the package may import this room.
"""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = {
    "fuse": "fuse images, folders or videos through the node's own pipeline",
    "methods": "list the fusion methods of the literature, and what each costs",
    "dataset": "check a dataset of visible and thermal images",
    "evaluate": "measure fusion and classification on datasets",
    "study": "ask people which method's pictures they prefer",
    "explain": "show why the network says what it says",
    "benchmark": "measure latency and cost of the model and of the node",
    "doctor": "check this machine, the model, the rig file and the cameras' topics",
    "soak": "run the node under faulty cameras and check that nothing gives way (needs ROS 2)",
    "calibrate": "find how two cameras lie to each other, and write the rig file",
    "rig": "show what a rig file says",
    "train": "train the network",
    "adapt": "fit the model to your cameras, from recordings without labels",
    "prune": "make a smaller model of the channels that weigh the most",
    "tune": "search training hyperparameters",
    "export": "turn a checkpoint into a model with manifest and card",
    "compile": "build verified TensorRT engines from a model",
    "quantize": "turn a model into an int8 one, and measure what that costs",
}
"""Commands by name."""

MODULES = {
    "fuse": "fuse.command",
    "methods": "methods",
    "dataset": "train.dataset",
    "evaluate": "evaluate.command",
    "study": "study.command",
    "explain": "explain",
    "benchmark": "benchmark.command",
    "doctor": "doctor",
    "soak": "soak",
    "calibrate": "calibrate.command",
    "rig": "calibrate.rig",
    "train": "train.train",
    "adapt": "train.adapt",
    "prune": "train.prune",
    "tune": "train.tune",
    "export": "train.export",
    "compile": "engines.compile",
    "quantize": "engines.quantize",
}
"""The module of each command below this package, with ``add_parser`` and ``run``; imported when asked for."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 for success, 2 for wrong input, which is told in one sentence on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="vi-fusion", description=__doc__.partition("\n")[0])
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name != chosen:  # imported only when asked for: a missing extra hurts nobody but the command that needs it
            subparsers.add_parser(name, help=summary, add_help=False)
    try:
        if chosen not in COMMANDS:
            parser.parse_args(arguments)  # help, or an error that lists the commands; either ends here
            return 2
        command = importlib.import_module(f"vi_fusion_ros.cli.{MODULES[chosen]}")
        command.add_parser(subparsers)
        return int(command.run(parser.parse_args(arguments)))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"vi-fusion: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"vi-fusion: '{chosen}' needs the Python package {error.name}, which is not installed "
            "(docs/installation.md)\n"
        )
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("vi-fusion: interrupted\n")
        return 130
