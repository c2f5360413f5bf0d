"""What an exception says to the user, on one line."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """The text of an exception, without the line breaks and indents that libraries put into it."""
    return " ".join(str(error).split())


def sentence(error: BaseException) -> str:
    """The text of an exception whose text is meant for users (ValueError, OSError), else its type and its text."""
    text = one_line(error)
    if text and isinstance(error, (ValueError, OSError)):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def printable(text: str) -> str:
    """Text that came over the network, on one line: what cannot be printed, line breaks among it, becomes a space."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
