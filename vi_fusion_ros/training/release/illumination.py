"""Day or night: the last layer, fitted to the training frames as they are.

Beside the other losses, and with frames whose exposure is changed at random, a few hundred steps do not teach it: the
networks that were left to that called nearly every frame day. What it reads is there, and one layer has an exact
solution.
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
_RIDGE = 0.2  # of the weights of standardised features
_FEWEST = 8  # frames by day, and frames by night


def fit_illumination(network: FusionNet, data: DataConfig) -> None:
    """Fit the layer by logistic regression, day and night of every set weighing the same.

    Nothing is done to a network that does not begin with a detector, nor where there are too few frames.

    Args:
        network: trained; its layer is changed in place.
        data: whose training frames of both cameras it is fitted to.
    """
    if network.perception.light is None:
        return
    layer = network.perception.illuminate
    features, night, of_set = _features(network, of_both_cameras(frames_of(data, "train")).values())
    if torch.bincount(night, minlength=len(ILLUMINATION)).min() < _FEWEST:
        return
    mean, spread = features.mean(0), features.std(0) + 1e-6
    given, weight = (features - mean) / spread, _weights(night, of_set)
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


def _weights(night: Tensor, of_set: Tensor) -> Tensor:
    """(N,) float64 that sum to 1 over the frames by day and over those by night, to the same over each set among them.

    A few lit streets would count for nothing beside hundreds of dark campus frames.
    """
    weight = torch.zeros(len(night), dtype=torch.float64)
    for index in range(len(ILLUMINATION)):
        chosen = night == index
        sets, places, counts = of_set[chosen].unique(return_inverse=True, return_counts=True)
        weight[chosen] = 1 / (len(sets) * counts.double())[places]
    return weight


@torch.no_grad()
def _features(network: FusionNet, sets: Iterable[PackedPairs]) -> tuple[Tensor, Tensor, Tensor]:
    """What the layer reads of each frame, (N, D) float64; whether it is night, and the index of its set, (N,) int64."""
    read: list[Tensor] = []
    hook = network.perception.illuminate.register_forward_pre_hook(lambda _layer, given: read.append(given[0][0]))
    night: list[int] = []
    of_set: list[int] = []
    network.eval()
    try:
        for place, frames in enumerate(sets):
            light = frames.illumination()
            for number, index in enumerate(np.flatnonzero(light >= 0)):
                images = padded_tensors(frames[int(index)])
                for modality in ("both", "visible", "thermal") if number % _BLACKENED_EVERY == 0 else ("both",):
                    network.perceive(*blackened(*images, modality))
                    night.append(int(light[index]))
                    of_set.append(place)
    finally:
        hook.remove()
    return torch.stack(read).double(), torch.tensor(night), torch.tensor(of_set)
