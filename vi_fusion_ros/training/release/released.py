"""The network of a checkpoint as it is released."""

from __future__ import annotations

from pathlib import Path

from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.interpolation import towards_pretrained
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
    towards_pretrained(network, config.optim.pretrained_share)
    network.eval()
    fit_illumination(network, config.data)
    return config, network
