"""Weights between those that a run began with and those that it has learned.

What a backbone learns in a few hundred steps is right in places like those that it learned from, and costs some of what
it knew of others. Weights between the pretrained and the trained ones keep most of both (WiSE-FT; Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import copy

import torch

from vi_fusion_ros.model.network import FusionNet


@torch.no_grad()
def towards_pretrained(network: FusionNet, share: float) -> None:
    """Move the pretrained part of the branches back, in place: weights are ``(1 - share) trained + share pretrained``.

    Args:
        network: trained.
        share: 0 to 1; 0 changes nothing, and needs no pretrained weights.

    Raises:
        ValueError: the pretrained weights are not installed.
    """
    if share == 0:
        return
    branches = network.perception.branches
    before = copy.deepcopy(branches)
    before.load_pretrained()
    for trained, pretrained in zip(branches.pretrained(), before.pretrained(), strict=True):
        start = pretrained.state_dict()
        for name, value in trained.state_dict().items():
            if value.is_floating_point():
                value.lerp_(start[name], share)
