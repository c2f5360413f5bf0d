"""Tasks that one network learns in turn without forgetting those before: elastic weight consolidation.

Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114(13), 2017, as FusionDN uses it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.methods.fusiondn import TASKS, Fusion, fusion_terms, sources
from vi_fusion_ros.training.methods.task import MethodTask
from vi_fusion_ros.training.task import SCORE

_FISHER_BATCHES = 40  # as published; never more than an epoch has
_DECAY, _MOMENTUM = 0.6, 0.15  # of RMSProp, as published


class ConsolidatedTask(MethodTask):
    """Trains ``fusiondn`` on its three tasks, one after the other.

    When a task ends, each weight is tied to its value, the tighter the larger the mean squared gradient of the task's
    loss is there; ``optim.ewc`` weighs that penalty, and 0 leaves it out. ``select/score`` is minus the sum of the
    losses of all three tasks, learned yet or not; ``select/NAME`` is the loss of each.

    Args:
        config: the run's configuration.
        splits: its data.

    Raises:
        ValueError: as ``MethodTask``.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        super().__init__(config, splits)
        self._ties: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []  # importance and value, of each task done

    def on_train_epoch_start(self) -> None:
        """Tie the weights where another task begins."""
        stage = stage_of(self.current_epoch, self.config.optim.epochs)
        if self.config.optim.ewc and stage > len(self._ties):
            self._ties.append(self._tied(TASKS[stage - 1]))

    def training_step(self, batch: Augmented, number: int) -> Tensor:
        """Loss of the task that it is the turn of, and the penalty of those before."""
        task = TASKS[stage_of(self.current_epoch, self.config.optim.epochs)]
        loss = self._loss(task, batch, self._generator(self.current_epoch, number))
        penalty = self._penalty()
        self.log_dict({"train/task": loss.detach(), "train/penalty": penalty.detach()}, on_step=True, batch_size=1)
        self.log("train/loss", (loss + penalty).detach(), prog_bar=True, batch_size=1)
        return loss + penalty

    def validation_step(self, batch: Augmented, number: int) -> None:
        """Loss of each task."""
        losses = {task.name: self._loss(task, batch, self._generator(-1, number)) for task in TASKS}
        self.log_dict({f"select/{name}": loss for name, loss in losses.items()}, sync_dist=True, batch_size=1)
        self.log(SCORE, -torch.stack(list(losses.values())).sum(), sync_dist=True, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:  # type: ignore[override]
        """RMSProp at one rate, as published: a rate that falls would keep the earlier tasks by itself."""
        return torch.optim.RMSprop(self.network.parameters(), self.config.optim.lr, _DECAY, momentum=_MOMENTUM)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The ties go with the weights."""
        checkpoint["ties"] = self._ties

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As they were."""
        self._ties = checkpoint["ties"]

    def _loss(self, task: Fusion, batch: Augmented, generator: torch.Generator) -> Tensor:
        first, second = sources(task, batch, generator)
        terms = fusion_terms(task, self.network(first, second).float(), first, second, self._features[0])
        return torch.stack(list(terms.values())).sum()

    def _tied(self, task: Fusion) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        named = dict(self.network.named_parameters())
        importance = {name: torch.zeros_like(value) for name, value in named.items()}
        count = min(_FISHER_BATCHES, self.config.optim.steps)
        batches = self._patches(self.splits.train, count, self.current_epoch)
        for number in range(count):
            loss = self._loss(task, batches[number], self._generator(self.current_epoch, number))
            for name, slope in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True):
                importance[name] += slope**2 / count
        return importance, {name: value.detach().clone() for name, value in named.items()}

    def _penalty(self) -> Tensor:
        total = torch.zeros(())
        for importance, tied in self._ties:
            for name, value in self.network.named_parameters():
                total = total + (importance[name] * (value - tied[name]) ** 2).sum()
        return self.config.optim.ewc / 2 * total


def stage_of(epoch: int, epochs: int) -> int:
    """Number of the task that an epoch of ``epochs`` is of, counted from 0."""
    whole = sum(task.epochs for task in TASKS)
    ends = [sum(task.epochs for task in TASKS[: number + 1]) for number in range(len(TASKS) - 1)]
    return sum(epoch * whole >= end * epochs for end in ends)
