"""Values in files that outlive a process that is killed: read up to the last whole one, and nothing in them is run."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

from vi_fusion_ros.evaluation.output import write_bytes

_HEAD = struct.Struct("<QI")  # length and CRC-32 of the pickled value
_NUMPY = ("numpy.core", "numpy._core")  # of NumPy 1.26 and 2
_KNOWN = {
    ("collections", "Counter"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"{core}.multiarray", name) for core in _NUMPY for name in ("_reconstruct", "scalar")),
    *((f"{core}.numeric", "_frombuffer") for core in _NUMPY),
}


class KeptValues:
    """Numbered values in a file, one appended after the other.

    Values are numbers, text, lists, dicts, arrays and named tuples of ``vi_fusion_ros.evaluation``.

    Args:
        path: made where it is missing. What follows the last whole value is cut off.

    Attributes:
        values: all so far, by number.
    """

    def __init__(self, path: Path) -> None:
        self.values: dict[int, Any] = {}
        self._file = path.open("a+b")
        self._file.seek(0)
        whole = 0
        while (entry := self._next()) is not None:
            number, value = entry
            self.values[number] = value
            whole = self._file.tell()
        self._file.truncate(whole)

    def add(self, number: int, value: Any) -> None:
        """Append a value; it is with the operating system when this returns."""
        data = pickle.dumps((number, value))
        self._file.write(_HEAD.pack(len(data), zlib.crc32(data)) + data)
        self._file.flush()
        self.values[number] = value

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _next(self) -> tuple[int, Any] | None:
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        data = self._file.read(length)
        if len(data) < length or zlib.crc32(data) != check:
            return None
        try:
            number, value = _Reader(io.BytesIO(data)).load()
        except pickle.UnpicklingError:  # no value of ours
            return None
        return int(number), value


def write_value(path: Path, value: Any) -> None:
    """Write one value, of the kinds that ``KeptValues`` holds, whole or not at all."""
    write_bytes(path, pickle.dumps(value))


def read_value(path: Path) -> Any:
    """What ``write_value`` wrote.

    Raises:
        OSError: the file cannot be read.
        pickle.UnpicklingError: it holds something else.
    """
    return _Reader(io.BytesIO(path.read_bytes())).load()


class _Reader(pickle.Unpickler):
    """Makes arrays and named tuples alone: whoever wrote the file cannot have anything else called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return super().find_class(module, name)
        if module.startswith("vi_fusion_ros.evaluation.") and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and issubclass(found, tuple):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value of an evaluation")
