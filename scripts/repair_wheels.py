"""Takes half-installed packages out of this virtual environment, so that pip installs them anew.

pip that is killed, or that runs out of disk, leaves a package's metadata beside a part of its files, and counts it as
installed from then on. RECORD is written last, when a wheel is unpacked: a package without one is not whole. Nor is one
with files in it that are not there: pip was killed while it took an older version away.

Run with the virtual environment's own interpreter. Safe to run again.
"""

from __future__ import annotations

import csv
import shutil
import sys
import sysconfig
from pathlib import Path


def is_whole(metadata: Path) -> bool:
    """Whether the package of this ``*.dist-info`` folder has every file that it came with."""
    try:
        with (metadata / "RECORD").open(newline="", encoding="utf-8") as file:
            names = [row[0] for row in csv.reader(file) if row]
    except OSError:
        return False
    return all((metadata.parent / name).exists() for name in names if not name.endswith(".pyc"))


def main() -> int:
    """Repair the environment; print the names of what was taken out."""
    removed = set()
    for folder in {Path(sysconfig.get_paths()[kind]) for kind in ("purelib", "platlib")}:
        for metadata in folder.glob("*.dist-info"):
            if not is_whole(metadata):
                shutil.rmtree(metadata)
                removed.add(metadata.name.partition("-")[0])
        for moved in folder.glob("~*"):  # where pip keeps the version that it is replacing
            shutil.rmtree(moved) if moved.is_dir() else moved.unlink()
    print(" ".join(sorted(removed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
