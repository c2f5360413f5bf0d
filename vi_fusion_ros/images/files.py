"""Image files of any depth: which files of a folder are images, in which order, and their pixels.

Everything that reads image files reads them here, so that no two commands see different images in one folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from vi_fusion_ros.images.header import is_cut
from vi_fusion_ros.types import Image

SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".jp2", ".pgm", ".ppm",
        ".pnm", ".npy",
    }
)  # fmt: skip
"""Endings, in lower case, of the files that count as images."""

_DEPTHS = ("uint8", "uint16", "float32")
_READ_AS_IT_IS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # unlike IMREAD_UNCHANGED it turns the image as EXIF says
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE, _GREY_WITH_ALPHA = 25, 4


def is_image_file(path: Path) -> bool:
    """Whether a path is a file that counts as an image: by its ending in any case, and not hidden.

    Hidden files are left out because copies from other systems leave some that end like images (``._photo.jpg``).
    """
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def image_paths(folder: Path) -> list[Path]:
    """The image files right in ``folder`` in natural order: ``f2.png`` before ``f10.png``.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected a folder of images")
    return sorted(filter(is_image_file, folder.iterdir()), key=lambda path: natural_order(path.name))


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sort key that compares the numbers in names as numbers."""
    parts = re.split("([0-9]+)", name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The image files right in ``folder`` in natural order, by name without suffix.

    Raises:
        ValueError: there is no such folder, or two have one stem.
    """
    images: dict[str, Path] = {}
    for path in image_paths(folder):
        if path.stem in images:
            raise ValueError(f"{folder}: two images of one stem, {images[path.stem].name} and {path.name}")
        images[path.stem] = path
    return images


def some_images_by_stem(folder: Path) -> dict[str, Path]:
    """As ``images_by_stem``, but at least one.

    Raises:
        ValueError: as there; or there is no image.
    """
    images = images_by_stem(folder)
    if not images:
        raise ValueError(f"{folder} has no image; expected files ending in {', '.join(sorted(SUFFIXES))}")
    return images


def read_image(path: Path) -> Image:
    """Read an image as it is: 16-bit and float images keep their depth.

    It is turned as its EXIF orientation says, and an alpha channel is dropped. A ``.npy`` file holds one channel,
    (H, W) or (H, W, 1).

    Returns:
        (H, W) or (H, W, 3) BGR; uint8, uint16 or float32.

    Raises:
        ValueError: it cannot be read or decoded, or its pixels have another type; one sentence with the path.
    """
    image = _array(path) if path.suffix.lower() == ".npy" else _decoded(path)
    if image.dtype.name not in _DEPTHS:
        raise ValueError(f"{path}: pixels of type {image.dtype.name}; expected {', '.join(_DEPTHS)}")
    return image


def to_grey(image: Image) -> Image:
    """One channel of the same depth: the luma of a colour image.

    Args:
        image: (H, W) or (H, W, 3) BGR.

    Returns:
        (H, W); the image itself where it has one channel.
    """
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def to_colour(image: Image) -> Image:
    """Three channels of the same depth.

    Args:
        image: (H, W) or (H, W, 3) BGR.

    Returns:
        (H, W, 3) BGR; the image itself where it has three channels.
    """
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


def _decoded(path: Path) -> Image:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); expected an image") from error
    octets = memoryview(data)  # type: ignore[arg-type]
    try:
        # OpenCV before 4.12 shows grey where a JPEG is cut and says nothing.
        image = None if not data.size or is_cut(octets) else cv2.imdecode(data, _READ_AS_IT_IS)
    except cv2.error:  # a header that promises more pixels than OpenCV accepts
        image = None
    if image is None:
        raise ValueError(f"{path}: corrupt or not an image ({data.size} bytes)")
    if image.ndim == 3 and bytes(octets[:8]) == _PNG and octets[_PNG_COLOUR_TYPE] == _GREY_WITH_ALPHA:
        image = np.ascontiguousarray(image[..., 0])  # OpenCV makes it colour
    return np.asarray(image)


def _array(path: Path) -> Image:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an array that can be read ({' '.join(str(error).split())})") from error
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{path}: an array of shape {array.shape}; expected one channel, (H, W)")
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)
