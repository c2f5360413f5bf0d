"""Pictures that show whether a registration fits: checkerboard blend and edge overlay, before and after."""

from __future__ import annotations

import cv2
import numpy as np

from vi_fusion_ros.drawing import grey8, titled
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.registration.warp import Registration
from vi_fusion_ros.types import Image

_TILES = 8
_EDGE = (0, 80, 255)  # BGR


def before_and_after(visible: Image, thermal: Image, before: Rig, after: Rig, residual: str = "") -> Image:
    """Upper row: before; lower row: after; left: checkerboard of both images; right: thermal edges on the visible.

    Args:
        visible: (H, W) or (H, W, 3), of any depth.
        thermal: (h, w) or (h, w, 3), of any depth.
        before: the rig to compare with.
        after: the rig to show.
        residual: is written beside "after", for example ``0.8 px``.

    Returns:
        (2 H, 2 W, 3) uint8 BGR.
    """
    ground, heat = _grey(visible), _grey(thermal)
    size = (ground.shape[1], ground.shape[0])
    rows = []
    for rig, title in ((before, "before"), (after, f"after, {residual}" if residual else "after")):
        warped, mask, _ = Registration(rig).apply(heat, size)
        pictures = (
            (_checkerboard(ground, warped, mask), f"{title}: both"),
            (_edges(ground, warped, mask), "thermal edges"),
        )
        rows.append(np.hstack([titled(picture, text) for picture, text in pictures]))
    return np.vstack(rows)


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(grey8(image), cv2.COLOR_BGR2GRAY))


def _checkerboard(visible: Image, thermal: Image, mask: Image) -> Image:
    h, w = visible.shape
    ys, xs = np.mgrid[:h, :w] // max(1, w // _TILES)
    chosen = ((ys + xs) % 2 == 1) & (mask > 0)
    return np.asarray(cv2.cvtColor(np.where(chosen, thermal, visible), cv2.COLOR_GRAY2BGR))


def _edges(visible: Image, thermal: Image, mask: Image) -> Image:
    picture = np.asarray(cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR))
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8))
    picture[(cv2.Canny(cv2.GaussianBlur(thermal, (0, 0), 1.5), 40, 100) > 0) & (inside > 0)] = _EDGE
    return picture
