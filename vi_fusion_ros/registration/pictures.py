"""Pictures that show whether a registration fits: checkerboard blend and edge overlay, before and after."""

from __future__ import annotations

import cv2
import numpy as np

from vi_fusion_ros.frames import Image
from vi_fusion_ros.registration.matching import Pair
from vi_fusion_ros.registration.rig import Matrix

_TILES = 8


def before_and_after(pair: Pair, before: Matrix, after: Matrix) -> Image:
    """Upper row: before; lower row: after; left: checkerboard of both images; right: thermal edges on the visible.

    Args:
        pair: the images.
        before: (3, 3), thermal to visible.
        after: the same.

    Returns:
        (2 H, 2 W, 3) uint8 BGR.
    """
    rows = []
    for homography in (before, after):
        thermal = cv2.warpPerspective(pair.thermal, homography, pair.visible_size)
        rows.append(np.hstack([_checkerboard(pair.visible, thermal), _edges(pair.visible, thermal)]))
    return np.vstack(rows)


def _checkerboard(visible: Image, thermal: Image) -> Image:
    h, w = visible.shape
    side = max(1, w // _TILES)
    ys, xs = np.mgrid[:h, :w] // side
    return _bgr(np.where((ys + xs) % 2 == 0, visible, thermal))


def _edges(visible: Image, thermal: Image) -> Image:
    picture = _bgr(visible)
    picture[cv2.Canny(cv2.GaussianBlur(thermal, (0, 0), 1.5).astype(np.uint8), 40, 100) > 0] = (0, 80, 255)
    return picture


def _bgr(grey: Image) -> Image:
    return np.asarray(cv2.cvtColor(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR))
