"""Image sizes on the command line."""

from __future__ import annotations

import argparse


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT as (width, height), pixels.

    Raises:
        argparse.ArgumentTypeError: the text is no size.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected WIDTHxHEIGHT, for example 640x480")
    return int(width), int(height)
