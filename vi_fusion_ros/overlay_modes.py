"""What the overlay shows: the fused image with its labels, or both cameras in another way. Free of ROS."""

from __future__ import annotations

import cv2
import numpy as np

from vi_fusion_ros.drawing import grey8, overlay
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.thermal_color import colored, draw_legend
from vi_fusion_ros.types import FusionResult, Image, Mode

OVERLAY_MODES = ("labels", "edges", "inset")
"""As of ``output.overlay_mode``."""

_EDGE_NOISE, _EDGE_GAIN = 4.0, 2.0  # grey levels of the visible image that are no structure; what the rest is times


def overlay_in(mode: str, result: FusionResult, palette: str, radiometry: Radiometry | None) -> Image:
    """The picture of an overlay mode, (H, W, 3) uint8 BGR; with one camera missing that of ``labels``.

    Args:
        mode: ``labels``: ``overlay``; ``edges``: fine structure of the visible image on the thermal one; ``inset``:
            ``overlay`` with the thermal image, a third as large, and its legend in the upper right corner.
        result: what to show.
        palette: of the thermal image, one of ``thermal_color.PALETTES``.
        radiometry: of its counts, None where it is not known.

    Raises:
        ValueError: an unknown mode or palette.
    """
    if mode not in OVERLAY_MODES:
        raise ValueError(f"overlay mode '{mode}' is unknown; expected {', '.join(OVERLAY_MODES)}")
    if mode == "labels" or result.pair.mode != Mode.BOTH:
        return overlay(result)
    return _edges(result, palette) if mode == "edges" else _inset(result, palette, radiometry)


def _edges(result: FusionResult, palette: str) -> Image:
    assert result.pair.visible is not None  # overlay_in
    thermal = colored(result, palette)
    grey = cv2.cvtColor(grey8(result.pair.visible.image), cv2.COLOR_BGR2GRAY).astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), max(grey.shape[0] / 150, 1.0))
    detail = np.sign(detail) * np.maximum(np.abs(detail) - _EDGE_NOISE, 0) * _EDGE_GAIN
    return np.clip(thermal + detail[..., None], 0, 255).astype(np.uint8)


def _inset(result: FusionResult, palette: str, radiometry: Radiometry | None) -> Image:
    image = overlay(result)
    height, width = image.shape[:2]
    size = (max(width // 3, 1), max(height // 3, 1))
    small = cv2.resize(colored(result, palette), size, interpolation=cv2.INTER_AREA)
    assert result.thermal_levels is not None  # colored
    draw_legend(small, palette, result.thermal_levels, radiometry)  # after it has shrunk, to be read
    image[: small.shape[0], -small.shape[1] :] = small
    cv2.rectangle(image, (width - small.shape[1] - 1, -1), (width, small.shape[0]), (255, 255, 255), 1)
    return image
