"""Warm objects, found by the transition region around them, put into the visible image.

A reconstruction from the literature that Meher, Agrawal, Panda, Dora, Abraham, "Visible and infrared image fusion using
an efficient adaptive transition region extraction technique", Eng. Sci. Technol. Int. J. 29, 2022, builds on, for its
text was not at hand: Yan, Sang, Zhang, "Local entropy-based transition region extraction and thresholding", Pattern
Recognition Letters 24, 2003, with entropy times grey-level difference as in Li et al., Applied Soft Computing 11, 2011.
The share of pixels that is transition follows from mean and spread of that product.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Gray8

_SIDE = 7  # pixels of the window
_LEVELS = 32  # of grey, for the entropy: a window has 49 pixels
_RING = 3  # pixels to either side of an object's edge
_SMALL = 5  # pixels: what is narrower is no object, and no gap in one

Floats = npt.NDArray[np.float32]


def atre(visible: Gray8, thermal: Gray8) -> Gray8:
    """Objects from the thermal image, the rest from the visible one, mixed by activity along the edges."""
    activity_v, activity_t = descriptor(visible), descriptor(thermal)
    objects = warm_objects(thermal, activity_t)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RING + 1, 2 * _RING + 1))
    inside, around = cv2.erode(objects, disc), cv2.dilate(objects, disc)
    activity_v, activity_t = (a / max(float(a.max()), 1e-6) + 1e-6 for a in (activity_v, activity_t))
    mixed = activity_t / (activity_t + activity_v)
    share = np.where(inside > 0, 1.0, np.where(around > 0, mixed, 0.0))
    return np.rint(visible + share * (thermal.astype(np.float64) - visible)).astype(np.uint8)


def warm_objects(thermal: Gray8, activity: Floats) -> Gray8:
    """1 where the image is brighter than its transition region is on average, else 0; (H, W).

    Args:
        thermal: (H, W).
        activity: its ``descriptor``.
    """
    transition = activity > activity.mean() + activity.std()
    if not transition.any():  # an even image
        return np.zeros_like(thermal)
    objects = (thermal > thermal[transition].mean()).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_SMALL, _SMALL))
    return np.asarray(cv2.morphologyEx(cv2.morphologyEx(objects, cv2.MORPH_OPEN, disc), cv2.MORPH_CLOSE, disc))


def descriptor(image: Gray8) -> Floats:
    """Entropy of the window (bits) times its mean difference from the window's mean (levels), (H, W) float32."""
    levels = image // (256 // _LEVELS)
    entropy = np.zeros(image.shape, np.float32)
    for level in np.unique(levels):
        share = np.maximum(_mean(np.asarray(levels == level, np.float32)), 1e-6)
        entropy -= share * np.log2(share)
    grey = image.astype(np.float32)
    return np.maximum(entropy, 0) * _mean(np.abs(grey - _mean(grey)))


def _mean(values: Floats) -> Floats:
    return np.asarray(cv2.blur(values, (_SIDE, _SIDE), borderType=cv2.BORDER_REFLECT))
