"""Checkpoints of ``vi-fusion train``."""

from __future__ import annotations

from pathlib import Path

import torch

from vi_fusion_ros.training.config import TrainConfig, build


def checkpoint_weights(path: Path) -> tuple[TrainConfig, dict[str, torch.Tensor]]:
    """The configuration and the (averaged) weights of the network in a checkpoint.

    Raises:
        ValueError: the file is missing, or not a checkpoint of this package.
    """
    config, weights, _ = _read(path)
    return config, weights


def finished_epochs(path: Path) -> int:
    """Epochs that the run of a checkpoint has finished.

    Raises:
        ValueError: as ``checkpoint_weights``.
    """
    return _read(path)[2]


def is_finished(path: Path, epochs: int) -> bool:
    """Whether a checkpoint is there and its run has had so many epochs.

    Raises:
        ValueError: as ``checkpoint_weights``.
    """
    return path.exists() and finished_epochs(path) >= epochs


def _read(path: Path) -> tuple[TrainConfig, dict[str, torch.Tensor], int]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)  # never runs what it reads
        config = build(TrainConfig, checkpoint["hyper_parameters"]["config"])
        prefix = "network."
        weights = {k[len(prefix) :]: v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
        return config, weights, int(checkpoint["epoch"]) + 1
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); expected a checkpoint") from error
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not a checkpoint of vi-fusion train ({reason})") from error
