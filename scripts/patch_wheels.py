"""Replaces the paths of the machine that built the ROS 2 wheels by those of this virtual environment.

The wheels' CMake files name the Python headers (``/opt/python/cpXY-cpXY/include/pythonX.Y``) and NumPy's
(``…/site-packages/numpy/_core/include``) of the container they were built in; CMake refuses include directories that do
not exist. Run with the virtual environment's own interpreter. Safe to run again.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy as np

_NUMPY = re.compile(r"/opt/(?:python|_internal)/[^;\"]*?/site-packages/numpy/_core/include")
_PYTHON = re.compile(r"/opt/(?:python|_internal)/[^;\"]*?/include/python3\.\d+t?")


def patched(text: str) -> str:
    """``text`` with both kinds of path replaced by this environment's."""
    text = _NUMPY.sub(lambda _: np.get_include(), text)
    return _PYTHON.sub(lambda _: sysconfig.get_paths()["include"], text)


def main() -> int:
    """Patch every CMake file of the environment; print how many changed."""
    changed = 0
    for path in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        replacement = patched(text)
        if replacement != text:
            path.write_text(replacement, encoding="utf-8")
            changed += 1
    print(f"{changed} CMake files of the wheels patched")
    return 0


if __name__ == "__main__":
    sys.exit(main())
