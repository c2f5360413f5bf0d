"""Datasets that come as zip files."""

from __future__ import annotations

import shutil
import zipfile
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
