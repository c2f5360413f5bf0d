"""The options of ``vi-fusion evaluate`` that choose methods of the literature."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_methods(parser: argparse.ArgumentParser, what: str, purpose: str) -> None:
    """Add ``--methods`` and ``--weights``.

    Args:
        parser: of the kind of evaluation.
        what: the methods in question, plural.
        purpose: what becomes of them.
    """
    parser.add_argument(
        "--methods",
        metavar="all|A,B",
        help=f"{what} of the literature to {purpose} the same frames (vi-fusion methods)",
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        type=Path,
        metavar="ONNX",
        help=f"weights of one of the {what} (vi-fusion export); may be given again",
    )


def require_methods(args: argparse.Namespace) -> None:
    """Refuse weights that belong to no method.

    Raises:
        ValueError: there are weights, and no methods.
    """
    if args.weights and not args.methods:
        raise ValueError(f"--weights {args.weights[0]} goes with --methods; expected both")
