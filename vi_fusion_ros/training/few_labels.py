"""Few labels and unlabelled pairs: ``python -m vi_fusion_ros.training.few_labels CONFIG --json F``.

The two branches of perception learn from the training frames of registered sets without labels, by the objective of
``vi-fusion adapt``: with one camera black they have to give what the network that they start from, with the weights of
others, gives with both. Then the network is trained with the labels of a tenth of the training frames, once from these
branches and once from those of others: the same frames, batches, steps and first weights of all else. Both are judged
on the select and test frames, of which nothing was learned and by which nothing was chosen.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch

from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.model.network import FusionNet
from vi_fusion_ros.resources import share_path
from vi_fusion_ros.training.adapt.run import fit_without_labels
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.compared import compared, frames_with
from vi_fusion_ros.training.config import TrainConfig, load_config, plain
from vi_fusion_ros.training.data import Part, Splits, frames_of, part_of
from vi_fusion_ros.training.trainer import trained

UNLABELLED = ("roadscene", "msrs", "m3svd")
"""Sets that are registered to the pixel."""

SHARE = 0.1
ARMS = ("as_given", "pretrained")

Floats = npt.NDArray[np.float64]


def few_labels(config: TrainConfig) -> dict[str, Any]:
    """Train both ways and judge; a call that was killed goes on with the same configuration.

    Args:
        config: the recipe; its sets have the names of ``UNLABELLED`` among them.

    Returns:
        ``frames`` by set, ``parts`` with the figures of both ways and their difference by mode, and the ``recipe``.

    Raises:
        ValueError: bad data.
    """
    runs = config.runs / config.name
    unlabelled = {name: frames for name, frames in frames_of(config.data, "train").items() if name in UNLABELLED}
    few = _few(config)
    lightning.seed_everything(config.seed, workers=True)
    first = FusionNet(config.network)
    first.perception.branches.load_pretrained()
    learned = FusionNet(config.network)
    checkpoint = fit_without_labels(_without_labels(config), unlabelled, first, runs / "unlabelled")
    learned.load_state_dict(checkpoint_weights(checkpoint)[1])
    pretrained = copy.deepcopy(first)
    pretrained.perception.branches.load_state_dict(learned.perception.branches.state_dict())
    networks = {}
    for arm, start in zip(ARMS, (first, pretrained), strict=True):
        path = _written(start, config, runs / f"{arm}_start.ckpt")
        run = dataclasses.replace(config, name=f"{config.name}/{arm}", start_from=path)
        networks[arm] = FusionNet(config.network)
        networks[arm].load_state_dict(checkpoint_weights(trained(run, True, Splits(few, {}, None, None)))[1])
    return {
        "recipe": {
            "steps_without_labels": config.optim.epochs * config.optim.steps,
            "steps_with_labels": config.optim.epochs * config.optim.steps,
            "frames_a_step": config.scenes.frames,
            "frozen_blocks": config.optim.frozen_blocks,
            "seed": config.seed,
        },
        "frames": {
            "unlabelled": {name: len(frames) for name, frames in unlabelled.items()},
            "labelled": {name: len(frames) for name, frames in few.items()},
            "labelled_with": frames_with(few.values()),
        },
        "parts": {part: compared(networks, list(frames_of(config.data, part).values())) for part in _HELD},
    }


_HELD: tuple[Part, ...] = ("select", "test")


def _few(config: TrainConfig) -> dict[str, PackedPairs]:
    """A contiguous tenth of each set's training frames, from their middle."""
    few = {}
    for name, entry in config.data.sets.items():
        dataset = part_of(config.data, entry, "train")
        if dataset is not None:
            count = max(round(SHARE * len(dataset)), 1)
            begin = (len(dataset) - count) // 2
            few[name] = PackedPairs(
                type(dataset)._of(dataset, dataset.samples[begin : begin + count]), config.data.cache
            )
    return few


def _without_labels(config: TrainConfig) -> TrainConfig:
    """The settings of ``vi-fusion adapt`` with the network and the length of this run; little goes into the picture."""
    adapt = load_config(share_path() / "config" / "training" / "adapt.yaml")
    sets = {name: entry for name, entry in config.data.sets.items() if name in UNLABELLED}
    return dataclasses.replace(
        adapt,
        data=dataclasses.replace(config.data, sets=sets),
        seed=config.seed,
        network=config.network,
        patches=dataclasses.replace(adapt.patches, patches=1, size=96),
        optim=dataclasses.replace(
            adapt.optim, epochs=config.optim.epochs, steps=config.optim.steps, frozen_blocks=config.optim.frozen_blocks
        ),
    )


def _written(network: FusionNet, config: TrainConfig, path: Path) -> Path:
    """A checkpoint that a run can start from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"hyper_parameters": {"config": plain(config)}, "state_dict": weights, "epoch": 0}, path)
    return path


def main() -> None:
    """Write the JSON."""
    parser = argparse.ArgumentParser(description="What unlabelled pairs are worth where labels are few.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args()
    write_json(args.json, few_labels(load_config(args.config)))


if __name__ == "__main__":
    main()
