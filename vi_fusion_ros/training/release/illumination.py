"""Day or night: the last layer, fitted to the training frames as they are.

Beside the other losses, and with frames whose exposure is changed at random, a few hundred steps do not teach it: the
networks that were left to that called nearly every frame day. What it reads is there, and one layer has an exact
solution. What the visible image shows and how bright both images are: each is fitted for itself, and the scores added.
Fitted together, they learn what tells the places of the training frames apart.
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

_RIDGE_SHOWN, _RIDGE_BRIGHT = 1.0, 0.2
"""Of the weights of standardised features. These and ``_SPREADS`` were chosen on sets that were left out of the fit."""
_SPREADS = 3.0
"""Standard deviations from the mean within which a feature is held."""
_FEWEST = 8  # frames by day, and frames by night


@torch.no_grad()
def fit_illumination(network: FusionNet, data: DataConfig) -> None:
    """Fit the layer by logistic regressions, day and night of every set weighing the same.

    Nothing is done to a network that does not begin with a detector, nor where there are too few frames.

    Args:
        network: trained; the layer and the bounds of what it reads are changed in place.
        data: whose training frames of both cameras it is fitted to.
    """
    if network.perception.light is None:
        return
    network.perception.light.unbind()
    whole, alone, night, of_set = _features(network, of_both_cameras(frames_of(data, "train")).values())
    if torch.bincount(night, minlength=len(ILLUMINATION)).min() < _FEWEST:
        return
    light, layer, weight = network.perception.light, network.perception.illuminate, _weights(night, of_set)
    shown, bright, of_visible, with_both, with_one = torch.arange(len(light.low)).split(light.parts)
    layer.weight.zero_()
    layer.bias.zero_()  # what is read has a one of its own where the visible image is there
    intercepts = []
    for read, columns, ridge in (
        (whole, shown, _RIDGE_SHOWN),
        (whole, bright, _RIDGE_BRIGHT),
        (alone, of_visible, _RIDGE_BRIGHT),
    ):
        mean, spread = read[:, columns].mean(0), read[:, columns].std(0) + 1e-6
        given = ((read[:, columns] - mean) / spread).clamp(-_SPREADS, _SPREADS)
        found = _logistic(given, night, weight, ridge)
        slope = found[:-1] / spread
        _write(layer.weight, columns, slope)
        light.low[columns], light.high[columns] = ((mean + sign * _SPREADS * spread).to(light.low) for sign in (-1, 1))
        intercepts.append(found[-1] - (slope * mean).sum())
    _write(layer.weight, with_both, intercepts[0] + intercepts[1])
    _write(layer.weight, with_one, intercepts[0] + intercepts[2])


def _write(weight: Tensor, columns: Tensor, night: Tensor) -> None:
    for index, sign in enumerate((-0.5, 0.5)):  # day, night
        weight[index, columns] = (sign * night).to(weight)


def _logistic(given: Tensor, night: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """Weights and, last, intercept of the score of night, (D + 1,) float64, for standardised features (N, D)."""
    found = torch.zeros(given.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([found], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        score = given @ found[:-1] + found[-1]
        fit = functional.binary_cross_entropy_with_logits(score, night.double(), weight, reduction="sum")
        total = fit + ridge * (found[:-1] ** 2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    return found.detach()


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


def _features(network: FusionNet, sets: Iterable[PackedPairs]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the layer reads of each frame, and what it is.

    Returns:
        (N, D) float64 with both cameras, and with the visible one alone; (N,) int64 whether it is night, and the index
        of its set.
    """
    read: list[Tensor] = []
    hook = network.perception.illuminate.register_forward_pre_hook(lambda _layer, given: read.append(given[0][0]))
    night: list[int] = []
    of_set: list[int] = []
    network.eval()
    try:
        for place, frames in enumerate(sets):
            light = frames.illumination()
            for index in np.flatnonzero(light >= 0):
                images = padded_tensors(frames[int(index)])
                for modality in ("both", "visible"):
                    network.perceive(*blackened(*images, modality))
                night.append(int(light[index]))
                of_set.append(place)
    finally:
        hook.remove()
    if not read:
        return *torch.zeros(2, 0, 1), *torch.zeros(2, 0, dtype=torch.int64)
    rows = torch.stack(read).double()
    return rows[::2], rows[1::2], torch.tensor(night), torch.tensor(of_set)
