"""An evaluation that was killed goes on with the same command."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager
from pathlib import Path

_WITHOUT_EFFECT = ("command", "kind", "run", "evaluate", "json", "report", "jobs", "engine", "model", "output", "junit")
"""Options that change no value that is computed of a frame."""


def going_on(args: argparse.Namespace, model: Path) -> AbstractContextManager[None]:
    """What is computed within the block is kept until it ends, for the same options, data and model.

    Raises:
        ValueError: another process evaluates into the same JSON, or the parameter file cannot be used.
    """
    from vi_fusion_ros.evaluation.unfinished import Unfinished, identity_of, kept_in

    options = {key: value for key, value in vars(args).items() if key not in _WITHOUT_EFFECT}
    options["kind"] = args.kind
    outputs = [args.json, *(getattr(args, name, None) for name in ("report", "output", "junit"))]
    if getattr(args, "parameters", None):
        from vi_fusion_ros.node.parameters import schema

        options["settings"] = schema.from_file(args.parameters)  # which names files, too
    options["pictures"] = bool(getattr(args, "report", None))  # a report keeps some
    options["writes"] = str(getattr(args, "output", None))  # what was computed before is in there, too
    identity = identity_of(options, model, [path for path in outputs if path])
    return kept_in(Unfinished(args.json, identity, say))


def say(sentence: str) -> None:
    """Print how much was there already."""
    print(f"vi-fusion: {sentence}; going on", file=sys.stderr)
