"""The Lightning side: the losses of a step, what validation measures, the optimiser, the data of an epoch."""

from __future__ import annotations

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vi_fusion_ros.model.network import FusionNet, luma
from vi_fusion_ros.training import losses
from vi_fusion_ros.training.batches import Batch, Part, TrainingBatches
from vi_fusion_ros.training.classification import macro_f1
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.predict import frame_losses, predict_crops

SCORE = "select/score"


class FusionTask(lightning.LightningModule):
    """Trains ``FusionNet`` on crops and frame patches at once.

    The score that checkpoints, early stopping and tuning look at is ``select/score``: macro F1 on the selection crops
    minus a tenth of the fusion loss on the selection frames (where the run has frames).

    Args:
        config: the run's configuration.
        splits: its data.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        super().__init__()
        self.config, self.splits = config, splits
        self.network = FusionNet(config.network)
        self.save_hyperparameters({"config": plain(config)})

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches of this epoch, a pure function of seed and epoch: a resumed run sees what it would have seen."""
        c = self.config
        batches = TrainingBatches(
            self.splits.crops_train,
            self.splits.frames_train,
            c.batch,
            c.augmentation,
            c.modality,
            c.optim.steps * self.trainer.world_size,
            c.seed,
            self.current_epoch,
        )
        return DataLoader(batches, batch_size=None, shuffle=False)

    def val_dataloader(self) -> DataLoader[int]:
        """One dummy item: validation reads the selection parts itself."""
        return DataLoader([0], batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        """From a share of the run on, BatchNorm keeps its statistics, as at run time."""
        if self.current_epoch >= self.config.optim.freeze_norm * self.config.optim.epochs:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Sum of the weighted losses of both parts."""
        terms: dict[str, Tensor] = {}
        if "crops" in batch:
            terms.update(self._crop_terms(batch["crops"]))
        if "frames" in batch:
            terms.update(self._frame_terms(batch["frames"]))
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=1)
        return total

    def _crop_terms(self, part: Part) -> dict[str, Tensor]:
        optim, output = self.config.optim, self.network(part.images.visible, part.images.thermal)
        return {
            "crops": optim.crops_weight * losses.presence_loss(output.logits, part.target, part.known),
            "exclusive": optim.exclusive_weight * losses.exclusive_loss(output.logits, part.target),
            "illumination": optim.illumination_weight
            * losses.illumination_loss(output.illumination, part.illumination),
        }

    def _frame_terms(self, part: Part) -> dict[str, Tensor]:
        optim, images = self.config.optim, part.images
        output, places = self.network.with_places(images.visible, images.thermal)
        clean_luma = luma(images.clean_visible)
        terms = losses.fusion_loss(
            output.fused, output.attention, clean_luma, images.clean_thermal, images.both, self.config.fusion
        )
        terms["frames"] = optim.frames_weight * losses.presence_loss(output.logits, part.target, part.known)
        if places is not None and part.places is not None:
            terms["places"] = optim.places_weight * losses.places_loss(places, part.places)
        terms["frames_illumination"] = optim.illumination_weight * losses.illumination_loss(
            output.illumination, part.illumination
        )
        return terms

    def validation_step(self, _batch: int, _number: int) -> None:
        """Macro F1 on the selection crops, fusion losses on the selection frames."""
        logits, target = predict_crops(self.network, self.splits.crops_select, self.config.modality)
        score = macro_f1(logits.argmax(1), target.argmax(1), target.shape[1])
        self.log("select/macro_f1", score, prog_bar=True, sync_dist=True, batch_size=1)
        if self.splits.frames_select is not None and self.config.batch.patches:
            terms = frame_losses(self.network, self.splits.frames_select, self.config.fusion)
            self.log_dict({f"select/{name}": value for name, value in terms.items()}, sync_dist=True, batch_size=1)
            fusion = float(np.sum(list(terms.values())))
            self.log("select/fusion", fusion, prog_bar=True, sync_dist=True, batch_size=1)
            score -= 0.1 * fusion
        self.log(SCORE, score, sync_dist=True, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, linear warm-up, cosine decay to one hundredth."""
        optim = self.config.optim
        adam = torch.optim.AdamW(self.network.parameters(), optim.lr, weight_decay=optim.weight_decay)
        total = optim.epochs * optim.steps

        def factor(step: int) -> float:
            cosine = 0.505 + 0.495 * np.cos(np.pi * min(step / total, 1.0))
            return float(min((step + 1) / max(optim.warmup, 1), 1.0) * cosine)

        schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
