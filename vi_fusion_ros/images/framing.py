"""What is cut from the images of a camera and how they are turned, and what that does to its matrix and distortion.

It comes first of all: nothing else sees an image as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Camera, Image

Size = tuple[int, int]
_Matrix = npt.NDArray[np.float64]

_ROTATE = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIP = {"horizontal": 1, "vertical": 0}
_NO_CROP = (0, 0, 0, 0)


@dataclass(frozen=True)
class Framing:
    """Rows of telemetry cut off, then cropped, then turned, then mirrored.

    Attributes:
        crop: x, y, width and height of the part that is kept, pixels of the image without telemetry; zeros: all of it.
        rotate: 0, 90, 180 or 270 degrees, clockwise as seen on the screen.
        flip: ``none``, ``horizontal`` (left and right change places) or ``vertical``.
        telemetry_rows: how many rows at the bottom are no picture; negative: at the top.
    """

    crop: tuple[int, int, int, int] = _NO_CROP
    rotate: int = 0
    flip: str = "none"
    telemetry_rows: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any], camera: Camera) -> Framing:
        """The framing that the parameters ``CAMERA.*`` ask for.

        Raises:
            ValueError: something that cannot be; one sentence.
        """
        crop: Sequence[int] = settings[f"{camera}.crop"]
        if len(crop) != 4 or min(crop) < 0 or (any(crop) and not (crop[2] and crop[3])):
            raise ValueError(
                f"parameter {camera}.crop is {list(crop)}; expected x, y, width and height, or zeros for all of it"
            )
        rotate, flip = settings[f"{camera}.rotate"], settings[f"{camera}.flip"]
        if rotate not in (0, *_ROTATE):
            raise ValueError(f"parameter {camera}.rotate is {rotate}; expected 0, 90, 180 or 270")
        if flip not in ("none", *_FLIP):
            raise ValueError(f"parameter {camera}.flip is {flip!r}; expected none, horizontal or vertical")
        rows = settings.get(f"{camera}.telemetry_rows", 0)
        return cls((crop[0], crop[1], crop[2], crop[3]), rotate, flip, rows)

    @property
    def changes_nothing(self) -> bool:
        """Whether images stay as they are."""
        return self == _NOTHING

    @property
    def turn(self) -> _Matrix:
        """(3, 3), the rotation about the optical axis from the frame of the mounted camera to that of the image.

        A mirrored image is taken as one that a mirror or the driver had mirrored before: it turns nothing.
        """
        quarters = self.rotate // 90
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)

    def __call__(self, image: Image) -> Image:
        """The framed image; ``image`` itself, or a view of it, where nothing is turned or mirrored.

        Args:
            image: (H, W) or (H, W, 3), any type.

        Raises:
            ValueError: it is too small for what is cut off.
        """
        if self.changes_nothing:
            return image
        x, y, width, height = self._kept((image.shape[1], image.shape[0]))
        image = image[y : y + height, x : x + width]
        if self.rotate:
            image = cv2.rotate(image, _ROTATE[self.rotate])
        return image if self.flip == "none" else np.asarray(cv2.flip(image, _FLIP[self.flip]))

    def size(self, size: Size) -> Size:
        """(width, height) of what becomes of an image of (width, height).

        Raises:
            ValueError: as for an image.
        """
        width, height = self._kept(size)[2:]
        return (height, width) if self.rotate in (90, 270) else (width, height)

    def matrix(self, matrix: _Matrix, size: Size) -> _Matrix:
        """The camera matrix of framed images, focal lengths above 0 again.

        Args:
            matrix: K or P, (3, 3) or (3, 4), of the images before.
            size: (width, height) of these.

        Raises:
            ValueError: as for an image.
        """
        framed = self._affine(size) @ matrix
        framed[:, :3] = framed[:, :3] @ self._orthogonal().T
        return framed

    def distortion(self, coefficients: Sequence[float]) -> list[float]:
        """Coefficients of plumb_bob or rational_polynomial as they are for framed images.

        The tangential ones, (p2, p1), are a vector in the image plane: it turns with it. The others are radial.
        """
        turned = list(coefficients)
        if len(turned) >= 4:
            p2, p1 = self._orthogonal()[:2, :2] @ (turned[3], turned[2])
            turned[2:4] = [float(p1), float(p2)]
        return turned

    def _kept(self, size: Size) -> tuple[int, int, int, int]:
        """x, y, width and height in the image as received."""
        width, height = size
        rows = abs(self.telemetry_rows)
        left = height - rows
        x, y, crop_width, crop_height = self.crop if any(self.crop) else (0, 0, width, left)
        if left <= 0 or x + crop_width > width or y + crop_height > left:
            cut = f"{rows} rows of telemetry" if not any(self.crop) else f"the crop {list(self.crop)}"
            with_rows = f" and {rows} rows of telemetry" if rows and any(self.crop) else ""
            raise ValueError(f"an image of {width}x{height} is too small for {cut}{with_rows}")
        return x, y + max(-self.telemetry_rows, 0), crop_width, crop_height

    def _orthogonal(self) -> _Matrix:
        """Directions of the image before to those after, (3, 3)."""
        mirror = {"none": (1, 1), "horizontal": (-1, 1), "vertical": (1, -1)}[self.flip]
        return np.diag([*mirror, 1.0]) @ self.turn

    def _affine(self, size: Size) -> _Matrix:
        """Pixel coordinates before to those after, (3, 3)."""
        x, y, width, height = self._kept(size)
        affine = self._orthogonal() @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]])
        # What was turned lies left of or above the origin: bring its corner back there.
        corners = self._orthogonal() @ np.array([[0, width - 1], [0, height - 1], [1, 1]])
        affine[:2, 2] -= corners[:2].min(axis=1)
        return affine


_NOTHING = Framing()
