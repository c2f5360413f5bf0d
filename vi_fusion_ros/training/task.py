"""The Lightning side: the losses of a step, what validation measures, the optimiser, the data of an epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from vi_fusion_ros.model.network import FusionNet, luma
from vi_fusion_ros.model.perception import Perception
from vi_fusion_ros.training import losses
from vi_fusion_ros.training import perception_losses as perception
from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.batches.packed import PackedPairs, pooled_presence
from vi_fusion_ros.training.batches.patches import PatchBatches
from vi_fusion_ros.training.batches.scenes import CropBatch, SceneBatch, SceneBatches, coarser
from vi_fusion_ros.training.classification import presence_report
from vi_fusion_ros.training.config import OptimConfig, TrainConfig, plain
from vi_fusion_ros.training.data import Splits, of_both_cameras
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.predict import frame_losses, predict_sets

SCORE = "select/score"

_FUSED = 10.0  # weight of the mean distance to the teacher's fused image, grey levels from 0 to 1
_SCORES_WEIGHT = 0.5  # of the score map's presence beside the object map's


class Batch(NamedTuple):
    """What a step learns from; what the run does not train is None."""

    scenes: SceneBatch | None
    crops: CropBatch | None
    patches: Augmented | None


class FusionTask(lightning.LightningModule):
    """Trains the parts of ``FusionNet`` that the configuration has batches for.

    The score that checkpoints, early stopping and tuning look at is ``select/score``: the mean ROC-AUC of presence on
    the selection frames, where scenes are trained, minus a tenth of the fusion loss on them, where patches are.

    Args:
        config: the run's configuration.
        splits: its data.
        teacher: a network whose outputs this one learns from, too; it is not changed.
    """

    def __init__(self, config: TrainConfig, splits: Splits, teacher: FusionNet | None = None) -> None:
        super().__init__()
        # In a tuple it is no part of the checkpoint.
        self._teacher = () if teacher is None else (teacher.eval().requires_grad_(requires_grad=False),)
        self.config, self.splits = config, splits
        self.network = FusionNet(config.network)
        self.save_hyperparameters({"config": plain(config)})
        perceives, fuses = config.scenes.frames > 0, config.patches.patches > 0
        frozen = _frozen(self.network, config.optim.frozen_blocks if perceives else None, fuses)
        for module in frozen:
            module.requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches of this epoch, a pure function of seed and epoch: a resumed run sees what it would have seen."""
        return DataLoader(
            _Batches(self.config, self.splits, self.trainer.world_size, self.current_epoch), batch_size=None
        )

    def val_dataloader(self) -> DataLoader[int]:
        """One dummy item: validation reads the selection parts itself."""
        return DataLoader([0], batch_size=None)  # type: ignore[arg-type]

    def on_train_epoch_start(self) -> None:
        """The pretrained branches keep BatchNorm's statistics; from a share of the run on, everything does.

        Dropout draws from torch's own generator, which a resumed run would begin anew: it is seeded by epoch, too.
        """
        for teacher in self._teacher:
            teacher.to(self.device)
        torch.manual_seed((self.config.seed * 10_007 + self.current_epoch) * 1009 + self.global_rank)
        late = self.current_epoch >= self.config.optim.freeze_norm * self.config.optim.epochs
        for module in [self.network] if late else self.network.perception.branches.pretrained():
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()

    def training_step(self, batch: Batch, _number: int) -> Tensor:
        """Sum of the weighted losses of every part."""
        terms: dict[str, Tensor] = {}
        if batch.scenes is not None:
            terms.update(self._scene_terms(batch.scenes))
        if batch.crops is not None:
            terms.update(self._crop_terms(batch.crops))
        if batch.patches is not None:
            terms.update(self._patch_terms(batch.patches))
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=1)
        return total

    def _scene_terms(self, part: SceneBatch) -> dict[str, Tensor]:
        optim, classes = self.config.optim, len(LABELS)
        visible, thermal = (self._given(self.network, image) for image in part.images[:2])
        output = self.network.perception(_ordered(visible), _ordered(thermal))
        objects = output.objects.float()
        taught = self._taught(output, part.images)
        if objects.shape[2:] != part.centres.shape[2:]:
            part = coarser(part, (objects.shape[2], objects.shape[3]))
        return {
            **taught,
            "presence": optim.presence_weight * _of_both_maps(output, part.target, part.known),
            "centres": optim.centre_weight * perception.centre_loss(objects[:, :classes], part.centres),
            "sides": optim.sides_weight * perception.sides_loss(objects[:, classes:], part.sides, part.sides_weight),
            "illumination": optim.illumination_weight
            * perception.illumination_loss(output.illumination.float(), part.illumination),
        }

    def _given(self, network: FusionNet, image: Tensor) -> Tensor:
        return network.of_usual_view(image, self.config.scenes.resolution)

    def _crop_terms(self, part: CropBatch) -> dict[str, Tensor]:
        output = self.network.perception(_ordered(part.images.visible), _ordered(part.images.thermal))
        logits, weight = output.logits.float(), self.config.optim.crops_weight
        return {
            "crops": weight * _of_both_maps(output, part.target, torch.ones_like(part.target)),
            "exclusive": weight * perception.exclusive_loss(logits, part.target),
        }

    def _patch_terms(self, images: Augmented) -> dict[str, Tensor]:
        visible, thermal = _ordered(images.visible), _ordered(images.thermal)
        fused, attention = self.network.fusion(visible, thermal)
        terms = losses.fusion_loss(
            fused.float(),
            attention.float(),
            luma(images.clean_visible),
            images.clean_thermal,
            images.both,
            self.config.fusion,
        )
        for teacher in self._teacher:
            with torch.no_grad():
                wanted = teacher.fusion(visible, thermal)[0]
            terms["taught"] = self.config.optim.teacher_weight * _FUSED * functional.l1_loss(fused.float(), wanted)
        return terms

    def _taught(self, output: Perception, images: Augmented) -> dict[str, Tensor]:
        """Distance to what the teacher makes of frames: presence, illumination and probabilities of centres."""
        terms = {}
        for teacher in self._teacher:
            with torch.no_grad():
                wanted = teacher.perception(*(_ordered(self._given(teacher, image)) for image in images[:2]))
            size = output.objects.shape[2:]
            terms["taught"] = self.config.optim.teacher_weight * perception.relative_distance(
                _words(output, size), _words(wanted, size)
            )
        return terms

    def validation_step(self, _batch: int, _number: int) -> None:
        """Presence and fusion losses on the selection frames."""
        score = 0.0
        pairs = list(of_both_cameras(self.splits.select).values())
        if self.config.scenes.frames and pairs:
            aucs = self._presence(pairs)
            self.log_dict({f"select/auc_{label}": value for label, value in aucs.items()}, sync_dist=True, batch_size=1)
            sure = [value for value in aucs.values() if np.isfinite(value)]
            # A score that is NaN would end the run: 0 where no label is both there and not there.
            score = float(np.mean(sure)) if sure else 0.0
            self.log("select/auc", score, prog_bar=True, sync_dist=True, batch_size=1)
        if self.config.patches.patches and pairs:
            rows = [frame_losses(self.network, frames, self.config.fusion, limit=8) for frames in pairs]
            terms = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
            self.log_dict({f"select/{name}": value for name, value in terms.items()}, sync_dist=True, batch_size=1)
            fusion = float(np.sum(list(terms.values())))
            self.log("select/fusion", fusion, prog_bar=True, sync_dist=True, batch_size=1)
            score -= 0.1 * fusion
        self.log(SCORE, score, sync_dist=True, batch_size=1)

    def _presence(self, sets: list[PackedPairs]) -> dict[str, float]:
        """ROC-AUC of each label over the frames of all ``sets``."""
        logits, _ = predict_sets(self.network, sets, self.config.modality)
        report = presence_report(logits, *pooled_presence(sets), LABELS)
        return {label: row["auc"] for label, row in report["labels"].items()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, the pretrained branches slower; linear warm-up, cosine decay to one hundredth."""
        optim = self.config.optim
        slow = {id(p) for part in self.network.perception.branches.pretrained() for p in part.parameters()}
        trained = [p for p in self.network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if id(p) not in slow], "lr": optim.lr},
            {"params": [p for p in trained if id(p) in slow], "lr": optim.lr * optim.backbone_lr},
        ]
        return scheduled([g for g in groups if g["params"]], optim)


def scheduled(groups: list[dict[str, Any]], optim: OptimConfig) -> OptimizerLRSchedulerConfig:
    """AdamW of these groups of parameters, each with its peak learning rate; linear warm-up, cosine decay."""
    adam = torch.optim.AdamW(groups, weight_decay=optim.weight_decay)
    total = optim.epochs * optim.steps

    def factor(step: int) -> float:
        cosine = 0.505 + 0.495 * np.cos(np.pi * min(step / total, 1.0))
        return float(min((step + 1) / max(optim.warmup, 1), 1.0) * cosine)

    schedule = torch.optim.lr_scheduler.LambdaLR(adam, factor)
    return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Batches(Dataset[Batch]):
    """The batches of one epoch, of every part that is trained."""

    def __init__(self, config: TrainConfig, splits: Splits, world_size: int, epoch: int) -> None:
        self.steps = config.optim.steps * world_size
        weights = {name: entry.weight for name, entry in config.data.sets.items()}
        common = (self.steps, config.seed, epoch)
        self.scenes = self.patches = None
        if config.scenes.frames:
            self.scenes = SceneBatches(
                splits.train, weights, splits.crops_train, config.scenes, config.augmentation, config.modality, *common
            )
        if config.patches.patches:
            self.patches = PatchBatches(splits.train, weights, config.patches, config.augmentation, *common)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> Batch:
        scenes, crops = (None, None) if self.scenes is None else self.scenes[number]
        return Batch(scenes, crops, None if self.patches is None else self.patches[number])


def _frozen(network: FusionNet, last_block: int | None, fuses: bool) -> list[nn.Module]:
    """The modules that a run does not train; ``last_block`` is None where it trains no perception."""
    frozen: list[nn.Module] = [] if fuses else [network.fusion]
    if last_block is None:
        return [*frozen, network.perception]
    return frozen + network.perception.branches.frozen_part(last_block)


def _of_both_maps(output: Perception, target: Tensor, known: Tensor) -> Tensor:
    """Loss of presence. Each map learns it by itself: in their sum, one could rest on what the other one knows."""
    centres, scores = (
        perception.presence_loss(logits.float(), target, known) for logits in (output.from_centres, output.from_scores)
    )
    return centres + _SCORES_WEIGHT * scores


def _words(output: Perception, size: torch.Size) -> tuple[Tensor, ...]:
    centres = functional.adaptive_max_pool2d(output.objects[:, : len(LABELS)].float(), size)
    presence = torch.cat((output.from_centres, output.from_scores), 1).float()
    return presence, output.illumination.float(), torch.sigmoid(centres)


def _ordered(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
