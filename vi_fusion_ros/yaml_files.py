"""YAML and JSON files of people and tools, read with limits: a hostile one costs one sentence, not the process.

Plain data only (YAML's safe schema), files only (no device, no pipe), at most so many bytes, YAML aliases that stand
for little (a few lines of them can stand for gigabytes), no nesting deeper than the interpreter's stack. Sentences
never quote the file: whoever may set the parameter that names it need not be allowed to read it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 2**20
MAX_NODES = 100_000
"""Of a YAML document with its aliases followed."""

_SHOWN = 200


def read_text(path: str | Path, what: str, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file.

    Args:
        path: the file.
        what: what it is, for the sentence: ``rig file``.
        max_bytes: more is refused unread.

    Raises:
        ValueError: it is missing, no file, too large or no UTF-8 text; one sentence with its path.
    """
    path = Path(path)
    try:
        if not (path.is_file() or path.is_dir()) and path.exists():  # a pipe or a device may never end
            raise ValueError(f"{what} {path} cannot be read: it is not a file")
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ValueError(f"{what} {path} has more than {max_bytes} bytes; that is no {what}")
        return data.decode("utf-8")
    except OSError as error:
        raise ValueError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {path} cannot be read: it is not text") from error


def read_yaml(path: str | Path, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a YAML file; see ``read_text``.

    Raises:
        ValueError: as ``read_text``, or it is not YAML, or its aliases or its nesting go too far.
    """
    text = read_text(path, what, max_bytes)
    try:
        return _plain_yaml(text)
    except yaml.MarkedYAMLError as error:
        where = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{what} {path} is not YAML: {error.problem}{where}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ValueError(f"{what} {path} is not YAML: it has characters that do not belong there") from error
    except RecursionError as error:
        raise ValueError(f"{what} {path} is not YAML that is read here: it is nested too deeply") from error
    except (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
    ) as error:  # PyYAML's on odd scalars: 2001-99-99, !!int x
        raise ValueError(f"{what} {path} is not YAML: a value cannot be read as what it claims to be") from error


def read_json(path: str | Path, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """The content of a JSON file; see ``read_text``.

    Raises:
        ValueError: as ``read_text``, or it is not JSON, or is nested too deeply.
    """
    text = read_text(path, what, max_bytes)
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{what} {path} is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{what} {path} is not JSON that is read here: it is nested too deeply") from error


def is_finite_number(value: Any) -> bool:
    """Whether ``value`` is an int or a float that float64 can hold; bool is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int of 400 digits
        return False


def shown(value: Any) -> str:
    """``repr`` of a value for a sentence, cut where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of more digits than Python prints
        return f"a value ({type(value).__name__}) too long to print"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _plain_yaml(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, {}) > MAX_NODES:
            raise yaml.composer.ComposerError(None, None, "its aliases stand for too much", node.start_mark)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _expanded(node: Any, known: dict[int, int]) -> int:
    """Nodes that a node stands for when its aliases are followed; of those of a loop, more than are allowed."""
    if id(node) not in known:
        known[id(node)] = MAX_NODES + 1  # what is met again before it is counted contains itself
        children = [] if isinstance(node, yaml.ScalarNode) else node.value
        pairs = isinstance(node, yaml.MappingNode)
        known[id(node)] = 1 + sum(
            _expanded(part, known) for child in children for part in (child if pairs else (child,))
        )
    return known[id(node)]
