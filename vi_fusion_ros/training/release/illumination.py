"""Day or night: the last layer, fitted to the training frames as they are.

Beside the other losses, and with frames whose exposure is changed at random, a few hundred steps do not teach it: the
networks that were left to that called every frame day. What it reads is there, and one layer has an exact solution.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import DataConfig
from vi_fusion_ros.training.data import frames_of, of_both_cameras
from vi_fusion_ros.training.datasets.labels import ILLUMINATION
from vi_fusion_ros.training.predict import blackened, padded_tensors

_BLACKENED_EVERY = 3
"""Each third frame is also shown to either camera alone."""
_RIDGE = 1e-2  # of the weights of standardised features
_FEWEST = 8  # frames by day, and frames by night


def fit_illumination(network: FusionNet, data: DataConfig) -> None:
    """Fit the layer by logistic regression, day and night weighing the same.

    Nothing is done to a network that does not begin with a detector, nor where there are too few frames.

    Args:
        network: trained; its layer is changed in place.
        data: whose training frames of both cameras it is fitted to.
    """
    if network.perception.light is None:
        return
    layer = network.perception.illuminate
    features, night = _features(network, of_both_cameras(frames_of(data, "train")).values())
    counts = torch.bincount(night, minlength=len(ILLUMINATION))
    if counts.min() < _FEWEST:
        return
    mean, spread = features.mean(0), features.std(0) + 1e-6
    given, weight = (features - mean) / spread, (1 / counts.double())[night]
    found = torch.zeros(features.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([found], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        score = given @ found[:-1] + found[-1]
        fit = functional.binary_cross_entropy_with_logits(score, night.double(), weight, reduction="sum")
        total = fit + _RIDGE * (found[:-1] ** 2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        slope = found[:-1] / spread
        for index, sign in enumerate((-0.5, 0.5)):  # day, night
            layer.weight[index] = sign * slope
            layer.bias[index] = sign * (found[-1] - (slope * mean).sum())


@torch.no_grad()
def _features(network: FusionNet, sets: Iterable[PackedPairs]) -> tuple[Tensor, Tensor]:
    """What the layer reads of each frame, (N, D) float64, and whether it is night, (N,) int64."""
    read: list[Tensor] = []
    hook = network.perception.illuminate.register_forward_pre_hook(lambda _layer, given: read.append(given[0][0]))
    night: list[int] = []
    network.eval()
    try:
        for frames in sets:
            known = np.flatnonzero(frames.illumination() >= 0)
            for number, index in enumerate(known):
                images = padded_tensors(frames[int(index)])
                for modality in ("both", "visible", "thermal") if number % _BLACKENED_EVERY == 0 else ("both",):
                    network.perceive(*blackened(*images, modality))
                    night.append(int(frames.illumination()[index]))
    finally:
        hook.remove()
    return torch.stack(read).double(), torch.tensor(night)
