"""Datasets that come as zip files."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from vi_fusion_ros.training.datasets.base import DatasetError


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip file, with the tables ``NAME_*.csv`` that lie beside it; they then lie beside ``target``.

    Args:
        archive: the file; NAME is its name without suffix.
        target: folder of the name NAME; it is there only once it is whole.

    Raises:
        DatasetError: it is no zip file, or cannot be read or unpacked.
    """
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as files:
            files.extractall(part)
        for beside in archive.parent.glob(f"{archive.stem}_*.csv"):
            shutil.copyfile(beside, target.parent / beside.name)
        part.replace(target)
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: it is encrypted
        raise DatasetError(f"{archive}: cannot be unpacked to {target} ({error}); expected a zip archive") from error


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, made when missing, against other processes that make files in it, as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however that ends
        yield


@contextlib.contextmanager
def as_folder(path: Path) -> Iterator[Path]:
    """A folder as it is; of a zip file the folder of its name that it is unpacked to, as long as the block lasts.

    Raises:
        DatasetError: as ``unpack``.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="vi_fusion_") as unpacked:
        target = Path(unpacked) / path.stem
        unpack(path, target)
        yield target
