"""Image files of any depth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.types import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})
"""Endings, in lower case, of the files that count as images."""


def read_image(path: Path) -> Image:
    """Read an image as it is: 16-bit and float images keep their depth, an alpha channel is dropped.

    Returns:
        (H, W) or (H, W, 3) BGR.

    Raises:
        ValueError: it cannot be read or decoded; one sentence with the path.
    """
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise ValueError(f"{path} cannot be read as an image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR) if image.ndim == 3 and image.shape[2] == 4 else image)


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The image files right in ``folder``, in the order of their names, by name without suffix.

    Raises:
        ValueError: there is none, or two have one stem.
    """
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            if path.stem in images:
                raise ValueError(f"{folder} has both {images[path.stem].name} and {path.name}; expected one a stem")
            images[path.stem] = path
    if not images:
        raise ValueError(f"{folder} has no image; expected files ending in {', '.join(sorted(SUFFIXES))}")
    return images
