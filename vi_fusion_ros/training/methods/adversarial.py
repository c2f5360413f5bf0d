"""Training of ``gan``: a network, and two judges that learn to tell what it makes from what is real."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from vi_fusion_ros.model.network import luma
from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.methods.gan import Judge, content_loss, darken, structure_loss
from vi_fusion_ros.training.methods.task import MethodTask
from vi_fusion_ros.training.task import scheduled

_REAL, _FAKE = (0.7, 1.2), (0.0, 0.3)  # soft labels, drawn
_STRUCTURE = 10.0


class AdversarialTask(MethodTask):
    """Trains ``gan`` against two judges in one step: of well-lit visible images, and of fused images.

    Nothing is paired: the brighter half of a batch is what the darker half, darkened further, should look like.

    Args:
        config: the run's configuration.
        splits: its data.

    Raises:
        ValueError: as ``MethodTask``.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        super().__init__(config, splits)
        self.judges = nn.ModuleDict({"light": Judge(), "fusion": Judge()})

    def training_step(self, batch: Augmented, number: int) -> Tensor:
        """What the network loses by content and by its judges, and what these lose."""
        generator = self._generator(self.current_epoch, number)
        visible, thermal = luma(batch.clean_visible), batch.clean_thermal
        order = visible.mean((1, 2, 3)).argsort()
        dark, bright = order[: len(order) // 2], order[len(order) // 2 :]
        darkened = darken(visible[dark], generator)
        given = torch.cat((darkened, visible[bright]))
        seen = torch.cat((thermal[dark], thermal[bright]))
        enhanced = self.network.enhanced(given).float()  # type: ignore[operator]
        fused = self.network.fused(enhanced, seen).float()  # type: ignore[operator]
        made = enhanced[: len(dark)]
        terms = {
            "content": content_loss(fused, enhanced, seen),
            "structure": _STRUCTURE * structure_loss(made, darkened),
            "light_stays": _STRUCTURE * (enhanced[len(dark) :] - visible[bright]).abs().mean(),
        }
        pairs = {"light": (visible[bright], made), "fusion": (enhanced.detach(), fused)}
        for name, (real, fake) in pairs.items():
            judge = self.judges[name]
            judge.requires_grad_(False)  # the network learns by the judge, not the judge to please it
            terms[f"{name}_fools"] = _off(judge(fake), _REAL, generator)
            judge.requires_grad_(True)
            terms[f"{name}_judge"] = _off(judge(real), _REAL, generator) + _off(judge(fake.detach()), _FAKE, generator)
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=1)
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As for our network; the judges at the same rate."""
        optim = self.config.optim
        return scheduled([{"params": list(self.parameters()), "lr": optim.lr}], optim)


def _off(judged: Tensor, wanted: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = wanted
    label = low + (high - low) * torch.rand(judged.shape, generator=generator)
    return (judged.float() - label).square().mean()
