#!/usr/bin/env python3
"""A report as a picture, by Chromium without a window: scripts/screenshot.py PAGE.html OUT.jpg [HEIGHT [WIDTH]].

HEIGHT (default 2400) and WIDTH (1240) are pixels of the page. The JPEG is made small enough for a repository (300 kB).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
_MOST_BYTES = 300_000


def main(arguments: list[str]) -> int:
    """Take the picture."""
    if len(arguments) not in (2, 3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    page, out = Path(arguments[0]), Path(arguments[1])
    height, width = map(int, (arguments[2:] + ["2400", "1240"][len(arguments) - 2 :]))
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None or not page.is_file():
        print(f"screenshot: {'no Chromium is installed' if browser is None else f'{page} is missing'}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"]
        subprocess.run([*command, f"--screenshot={shot}", page.resolve().as_uri()], check=True, capture_output=True)
        image = cv2.imread(str(shot))
    write_small(out, image, _MOST_BYTES)
    return 0


def write_small(path: Path, image: npt.NDArray[np.uint8], most_bytes: int) -> None:
    """Write a JPEG of the best quality that is small enough for a repository, of (H, W, 3) BGR."""
    for quality in range(92, 20, -4):
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if data.size <= most_bytes:
            break
    path.write_bytes(data.tobytes())
    print(f"{path}: {image.shape[1]}x{image.shape[0]}, {data.size} bytes, quality {quality}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
