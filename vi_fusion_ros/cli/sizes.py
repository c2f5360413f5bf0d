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


def sizes(text: str) -> tuple[tuple[int, int], ...]:
    """WIDTHxHEIGHT, or several of them with commas between, as (width, height), pixels.

    Raises:
        argparse.ArgumentTypeError: one of them is no size.
    """
    return tuple(size(part) for part in text.split(","))
