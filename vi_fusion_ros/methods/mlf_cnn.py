"""Objects by two streams whose features are summed at two layers, in two stages: proposals, then their labels.

After Chen, Xie, Shin, "Multi-layer fusion techniques using a CNN for multispectral pedestrian detection", IET Computer
Vision 12(8), 2018. Its text was not at hand; from its abstract are the two streams, their sum at two layers, proposals
of several scales from these, and the pooling of each proposal from three feature maps. The backbone (ImageNet's
EfficientNet-Lite0, unchanged, for both streams), the layers, the anchors and the losses are ours, and the labels are
those of our network, for the paper has persons alone. ``training.methods.mlf_cnn`` has the network.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.methods.base import Boxes
from vi_fusion_ros.methods.networks import Network, Tensor

SIDE = 640
"""Pixels of the longer side of what the network sees; every image is brought to it."""
MULTIPLE = 32
"""Of both sides of what the network sees; what is missing is repeated from the right and lower edge."""
STRIDES = (4, 8, 16)
"""Pixels that one feature of each of the three maps is of."""
PIXEL_MEAN, PIXEL_SPREAD = 127, 128
"""What the backbone was trained with: (pixel - mean) / spread, for pixels from 0 to 255."""

_LEAST = 0.01
_MOST = 100
_OVERLAP = 0.5


def mlf_cnn(
    network: Network, backbone: Network, visible: npt.NDArray[np.uint8], thermal: npt.NDArray[np.uint8]
) -> Boxes:
    """Find objects; see ``Detector.detect``."""
    height, width = thermal.shape
    colour = visible if visible.ndim == 3 else np.dstack([visible] * 3)
    features = [tap for image in (colour[..., ::-1], np.dstack([thermal] * 3)) for tap in _features(backbone, image)]
    boxes, probabilities = network(*features)
    return without_doubles(boxes.astype(np.float64) * (max(height, width) / SIDE), probabilities, (width, height))


def _features(backbone: Network, rgb: npt.NDArray[np.uint8]) -> list[Tensor]:
    """The three maps of one camera, (1, C, h, w)."""
    seen = fitted(rgb, SIDE / max(rgb.shape[:2]))
    plane = ((seen.astype(np.float32) - PIXEL_MEAN) / PIXEL_SPREAD).transpose(2, 0, 1)[None]
    taps = dict(zip(backbone.outputs, backbone(np.ascontiguousarray(plane)), strict=True))
    return [taps[f"stride{stride}"] for stride in STRIDES]


def fitted(image: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.uint8]:
    """An image (H, W, C) scaled, and enlarged to multiples of ``MULTIPLE`` by repeating its right and lower edge."""
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    below, right = -height % MULTIPLE, -width % MULTIPLE
    return np.asarray(cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def without_doubles(boxes: Boxes, probabilities: npt.NDArray[np.floating], size: tuple[int, int]) -> Boxes:
    """Of the boxes of one label that overlap by more than half, the surest.

    Args:
        boxes: (R, C, 4): left, upper, right and lower edge for each of C labels, pixels.
        probabilities: (R, C).
        size: (width, height) to which the boxes are cut.
    """
    width, height = size
    boxes = np.clip(boxes, 0, (width, height, width, height))
    rows = []
    for label in range(boxes.shape[1]):
        sure = np.flatnonzero(probabilities[:, label] >= _LEAST)
        corners, scores = boxes[sure, label], probabilities[sure, label].astype(np.float64)
        sides = corners[:, 2:] - corners[:, :2]
        whole = (sides > 0).all(1)
        corners, scores, sides = corners[whole], scores[whole], sides[whole]
        kept = cv2.dnn.NMSBoxes(np.hstack([corners[:, :2], sides]).tolist(), scores.tolist(), 0.0, _OVERLAP)
        rows += [(label, scores[int(k)], *corners[int(k)]) for k in np.ravel(kept)]
    found = np.array(rows, np.float64).reshape(-1, 6)
    return found[np.argsort(-found[:, 1], kind="stable")][:_MOST]
