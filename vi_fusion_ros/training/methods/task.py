"""The Lightning side of training a method's network, in the trainer of ours."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.batches.patches import PatchBatches
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import Splits, of_both_cameras
from vi_fusion_ros.training.methods.recipes import imagenet_features, recipe_of
from vi_fusion_ros.training.task import SCORE, scheduled

_SELECTION_STEPS = 8


class MethodTask(lightning.LightningModule):
    """Trains the network of a fusion method on patches.

    The score that checkpoints and early stopping look at is ``select/score``: minus the first loss on the same patches
    of the selection frames each time.

    Args:
        config: the run's configuration; its ``method`` says which.
        splits: its data.

    Raises:
        ValueError: the method is not trained here, or there are no patches.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        super().__init__()
        self.config, self.splits = config, splits
        self.recipe = recipe_of(config.method or "")
        if not config.patches.patches:
            raise ValueError("patches.patches is 0; expected some: a method's network is trained on patches")
        self.network = self.recipe.network()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # faster on processors
        self.save_hyperparameters({"config": plain(config)})
        # In a list, it is no part of the checkpoint.
        self._features = [imagenet_features()] if self.recipe.perceptual else []

    def train_dataloader(self) -> DataLoader[Augmented]:
        """The patches of this epoch, a pure function of seed and epoch."""
        steps = self.config.optim.steps * self.trainer.world_size
        return DataLoader(self._patches(self.splits.train, steps, self.current_epoch), batch_size=None)

    def val_dataloader(self) -> DataLoader[Augmented]:
        """Patches of the selection frames, always the same."""
        return DataLoader(self._patches(of_both_cameras(self.splits.select), _SELECTION_STEPS, 0), batch_size=None)

    def training_step(self, batch: Augmented, number: int) -> Tensor:
        """Sum of the terms."""
        late = 2 * self.current_epoch >= self.config.optim.epochs
        features = self._features[0] if self._features and late else None
        terms = self.recipe.losses(self.network, features, batch, self._generator(self.current_epoch, number))
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=1)
        return total

    def validation_step(self, batch: Augmented, number: int) -> None:
        """The first term."""
        terms = self.recipe.losses(self.network, None, batch, self._generator(-1, number))
        loss = next(iter(terms.values()))
        self.log("select/loss", loss, prog_bar=True, sync_dist=True, batch_size=1)
        self.log(SCORE, -loss, sync_dist=True, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As for our network."""
        optim = self.config.optim
        return scheduled([{"params": list(self.network.parameters()), "lr": optim.lr}], optim)

    def _patches(self, sets: dict[str, Any], steps: int, epoch: int) -> PatchBatches:
        weights = {name: entry.weight for name, entry in self.config.data.sets.items()}
        return PatchBatches(
            sets, weights, self.config.patches, self.config.augmentation, steps, self.config.seed, epoch
        )

    def _generator(self, epoch: int, number: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.config.seed * 10_007 + epoch + 1) * 100_003 + number)
