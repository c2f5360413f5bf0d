"""How many parameters an ONNX file holds, read from its bytes: the package ``onnx`` is not needed at run time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

_GRAPH, _INITIALIZER, _DIMS, _DATA_TYPE = 7, 5, 1, 2  # fields of ModelProto, GraphProto, TensorProto (onnx.proto)
_FLOATS = (1, 10, 16)  # TensorProto.DataType: float32, float16, bfloat16; whole numbers are shapes and axes
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5  # wire types of protobuf


def parameters(path: Path) -> int:
    """Values of the floating-point initializers of an ONNX file.

    Layers that the export folds into others (batch normalisation) are counted as what is left of them.

    Args:
        path: ONNX file whose weights lie inside it.

    Raises:
        ValueError: the file cannot be read, or is no ONNX file; one sentence.
    """
    try:
        return sum(
            _values(tensor)
            for graph in _messages(path.read_bytes(), _GRAPH)
            for tensor in _messages(graph, _INITIALIZER)
        )
    except (OSError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as an ONNX file: {error}") from error


def _values(tensor: bytes) -> int:
    dims: list[int] = []
    floats = False
    for field, value in _fields(tensor):
        if field == _DIMS:
            dims += [value] if isinstance(value, int) else _varints(value)
        elif field == _DATA_TYPE:
            floats = value in _FLOATS
    return math.prod(dims) if floats else 0


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for field, value in _fields(data) if field == wanted and isinstance(value, bytes))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: an integer, or the bytes of a text or a message; fixed widths are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind == _COUNTED:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise IndexError("it is cut off")
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise IndexError(f"it has a field of the unknown kind {kind}")


def _varints(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
