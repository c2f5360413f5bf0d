"""The network of a checkpoint as it is released: its backbone on the way back to the pretrained one.

What a backbone learns in a few hundred steps is right in places like those that it learned from, and costs some of
what it knew of others. Weights between the pretrained and the trained ones keep most of both (WiSE-FT; Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.release.illumination import fit_illumination


def released_network(checkpoint: Path) -> tuple[TrainConfig, FusionNet]:
    """The configuration and the network, in eval mode.

    Args:
        checkpoint: of ``vi-fusion train``; ``optim.pretrained_share`` of its configuration says how far back.

    Raises:
        ValueError: not a checkpoint, data missing, or the pretrained weights are not installed.
    """
    config, weights = checkpoint_weights(checkpoint)
    network = FusionNet(config.network)
    network.load_state_dict(weights)
    if config.optim.pretrained_share > 0:
        towards_pretrained(network, config.optim.pretrained_share)
    network.eval()
    fit_illumination(network, config.data)
    return config, network


@torch.no_grad()
def towards_pretrained(network: FusionNet, share: float) -> None:
    """Move the pretrained part of the branches back, in place: weights are ``(1 - share) trained + share pretrained``.

    Args:
        network: trained.
        share: 0 to 1.

    Raises:
        ValueError: the pretrained weights are not installed.
    """
    branches = network.perception.branches
    before = copy.deepcopy(branches)
    before.load_pretrained()
    for trained, pretrained in zip(branches.pretrained(), before.pretrained(), strict=True):
        start = pretrained.state_dict()
        for name, value in trained.state_dict().items():
            if value.is_floating_point():
                value.lerp_(start[name], share)
