"""Processes that find a TensorRT, a driver and a GPU where there are none: see test/support/standin/.

``python test/support/standin_tensorrt.py COMMAND ...`` runs a command as one, for example ``pytest test/gpu``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent / "standin"


def compiler() -> str | None:
    """A C compiler."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compile the CUDA runtime of the stand-in, and a driver with nothing in it; the folder of both."""
    empty = folder / "empty.c"
    empty.write_text("int standin_driver;\n")
    for source, library in ((HERE / "cudart.c", "libcudart.so.12"), (empty, "libcuda.so.1")):
        command = [str(compiler()), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", folder / library, source]
        subprocess.run(command, check=True)
    return folder


def environment(libraries: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that finds the stand-in."""
    found = {**os.environ, **{f"STANDIN_{name}".upper(): value for name, value in settings.items()}}
    for name, folder in (("LD_LIBRARY_PATH", libraries), ("PYTHONPATH", HERE)):
        found[name] = f"{folder}:{found.get(name, '')}"
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        found = environment(build(Path(scratch)))
        sys.exit(subprocess.run(sys.argv[1:], env=found, check=False).returncode)
