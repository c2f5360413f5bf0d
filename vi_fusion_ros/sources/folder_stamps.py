"""When the images of a folder were taken: by their names, or by a file of times beside them."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

from vi_fusion_ros.images.files import some_images_by_stem
from vi_fusion_ros.yaml_files import shown

TIMES_FILE = "times.txt"
"""In the folder: the time of each image in natural order of their names, one a line, seconds, as KITTI has it."""

_DIGITS_A_SECOND = {13: 3, 16: 6, 19: 9}
"""Of names that are whole numbers of milli-, micro- or nanoseconds since 1970, from 2001 to 2286, by their length."""

_SECONDS = re.compile(r"\d+\.\d+")


def stamped_images(folder: Path) -> list[tuple[float, Path]] | None:
    """The images of a folder with their times, in order of these.

    Names count as times where all of them do: seconds with a decimal point (``1697712345.250``), or whole numbers of
    13, 16 or 19 digits (milli-, micro- or nanoseconds since 1970). Shorter numbers count frames. A file of times comes
    before the names.

    Args:
        folder: of the images.

    Returns:
        Time in seconds, of whichever clock it is of, and path of each; None where neither the names nor a file says
        anything.

    Raises:
        ValueError: no image; a file of times that does not fit the images; times that do not rise. One sentence.
    """
    images = some_images_by_stem(folder)
    path = folder / TIMES_FILE
    if path.is_file():
        stamps = _read(path)
        if len(stamps) != len(images):
            raise ValueError(f"{path} has {len(stamps)} times; expected one a line for each of {len(images)} images")
        found = list(zip(stamps, images.values(), strict=True))
    else:
        times = {name: _time_of(name) for name in images}
        found = sorted((time_s, images[name]) for name, time_s in times.items() if time_s is not None)
        if len(found) < len(images):
            return None
    for (before_s, before), (after_s, after) in itertools.pairwise(found):
        if not after_s > before_s:
            raise ValueError(
                f"the times of {folder} do not rise: {after.name}, {after_s:.6f} s, follows {before.name}, "
                f"{before_s:.6f} s"
            )
    return found


def _time_of(name: str) -> float | None:
    if _SECONDS.fullmatch(name):
        return float(name)
    digits = _DIGITS_A_SECOND.get(len(name)) if name.isascii() and name.isdigit() else None
    return None if digits is None else int(name) / 10**digits


def _read(path: Path) -> list[float]:
    stamps = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            time_s = float(line)
        except ValueError:
            time_s = math.nan
        if not math.isfinite(time_s):
            raise ValueError(f"{path}, line {number}: {shown(line.strip())} is no time in seconds")
        stamps.append(time_s)
    return stamps
