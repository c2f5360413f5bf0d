"""Maps of where a label's answer comes from. captum computes them.

Every map is (H, W) float32 in the frame of the visible image, with the size of the padded inputs; larger is more.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from captum.attr import FeatureAblation, IntegratedGradients, LayerGradCam
from torch import Tensor

from vi_fusion_ros.explain.differentiable import Classifier, Floats

METHODS = ("gradient", "perturbation")
_STEPS = 24
_CELLS = 14  # along the longer side
_AT_A_TIME = 4
_SMOOTHING = 0.012  # of the width: gradients of single pixels are noise to an eye


class Saliency(NamedTuple):
    """What each camera's pixels add to the answer for a label.

    Attributes:
        visible: map.
        thermal: map.
    """

    visible: Floats
    thermal: Floats

    @property
    def both(self) -> Floats:
        """Their sum."""
        return self.visible + self.thermal


def class_activation(classifier: Classifier, visible: Floats, thermal: Floats, label: int) -> Floats:
    """Where the last features speak for the label: Grad-CAM (Selvaraju et al., ICCV 2017), negative parts cut off.

    The scores of objects' centres are linear in these features: for them it is the class activation map of Zhou et al.
    (CVPR 2016).

    Args:
        classifier: of the model.
        visible: (1, 3, H, W) RGB, 0 to 1.
        thermal: (1, 1, H, W), 0 to 1.
        label: index of the label.
    """
    cam = LayerGradCam(classifier, classifier.features)
    found = cam.attribute(_tensors(visible, thermal), target=label, relu_attributions=True)
    return _resized(found[0, 0], visible.shape[2:])


def saliency(classifier: Classifier, visible: Floats, thermal: Floats, label: int, method: str) -> Saliency:
    """What each pixel of each camera adds to the label's logit, absolute for gradients.

    Args:
        classifier: of the model.
        visible: (1, 3, H, W) RGB, 0 to 1.
        thermal: (1, 1, H, W), 0 to 1.
        label: index of the label.
        method: ``gradient``: integrated gradients (Sundararajan et al., ICML 2017) from the missing camera, which is
            zeros; ``perturbation``: the logit's loss when a square is set to zero in one camera.
    """
    inputs = _tensors(visible, thermal)
    if method == "gradient":
        gradients = IntegratedGradients(classifier)
        found = gradients.attribute(inputs, target=label, n_steps=_STEPS, internal_batch_size=_AT_A_TIME)
        left, right = (np.abs(part[0].sum(0).detach().numpy()) for part in found)
    elif method == "perturbation":
        cells = _cells(visible.shape[2], visible.shape[3])
        masks = (cells, cells + int(cells.max()) + 1)
        with torch.no_grad():
            found = FeatureAblation(classifier).attribute(
                inputs, target=label, feature_mask=masks, perturbations_per_eval=_AT_A_TIME
            )
        left, right = (np.clip(part[0, 0].numpy(), 0, None) for part in found)
    else:
        raise ValueError(f"saliency method '{method}'; expected one of {', '.join(METHODS)}")
    return Saliency(_smooth(left), _smooth(right))


def _tensors(visible: Floats, thermal: Floats) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(visible), torch.from_numpy(thermal)


def _cells(height: int, width: int) -> Tensor:
    """(1, 1, H, W) numbers of the squares that a grid divides the image into."""
    side = -(-max(height, width) // _CELLS)
    across = -(-width // side)
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    return (rows[:, None] * across + columns)[None, None]


def _resized(found: Tensor, size: tuple[int, ...]) -> Floats:
    coarse = found.detach().numpy().astype(np.float32)
    return np.clip(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), 0, None)


def _smooth(values: npt.NDArray[np.float32]) -> Floats:
    return np.asarray(cv2.GaussianBlur(values.astype(np.float32), (0, 0), _SMOOTHING * values.shape[1]), np.float32)
