"""The Lightning side of training a method that finds objects, in the trainer of ours."""

from __future__ import annotations

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from vi_fusion_ros.model.lite0 import PIXEL_MEAN, PIXEL_SPREAD
from vi_fusion_ros.training.batches.augment import AugmentConfig
from vi_fusion_ros.training.batches.boxed import BoxedFrame, BoxedFrames
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import Splits, of_both_cameras
from vi_fusion_ros.training.methods.mlf_cnn import MlfCnn, detection_terms
from vi_fusion_ros.training.methods.recipes import imagenet_features
from vi_fusion_ros.training.task import SCORE, scheduled

_SELECTION_STEPS = 8
_CLEAN = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))


class DetectionTask(lightning.LightningModule):
    """Trains ``mlf-cnn`` on whole frames; the backbone of both streams stays what it is.

    The score that checkpoints and early stopping look at is ``select/score``: minus the sum of the losses on the same
    selection frames each time.

    Args:
        config: the run's configuration.
        splits: its data.

    Raises:
        ValueError: there are no frames, or the backbone's weights are not installed.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        super().__init__()
        self.config, self.splits = config, splits
        if not config.scenes.frames:
            raise ValueError("scenes.frames is 0; expected some: a detector is trained on whole frames")
        self.network = MlfCnn()
        self.save_hyperparameters({"config": plain(config)})
        # In a list, it is no part of the checkpoint.
        self._features = [imagenet_features().to(memory_format=torch.channels_last)]  # type: ignore[call-overload]

    def train_dataloader(self) -> DataLoader[list[BoxedFrame]]:
        """The frames of this epoch, a pure function of seed and epoch."""
        steps = self.config.optim.steps * self.trainer.world_size
        return self._frames(self.splits.train, self.config.augmentation, steps, self.current_epoch)

    def val_dataloader(self) -> DataLoader[list[BoxedFrame]]:
        """Selection frames as they are, always the same."""
        return self._frames(of_both_cameras(self.splits.select), _CLEAN, _SELECTION_STEPS, 0)

    def training_step(self, batch: list[BoxedFrame], number: int) -> Tensor:
        """Sum of the terms."""
        terms = self._terms(batch, self.current_epoch, number)
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        self.log("train/loss", total.detach(), prog_bar=True, batch_size=1)
        return total

    def validation_step(self, batch: list[BoxedFrame], number: int) -> None:
        """The same on selection frames."""
        loss = torch.stack(list(self._terms(batch, -1, number).values())).sum()
        self.log("select/loss", loss, prog_bar=True, sync_dist=True, batch_size=1)
        self.log(SCORE, -loss, sync_dist=True, batch_size=1)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """As for our network."""
        optim = self.config.optim
        return scheduled([{"params": list(self.network.parameters()), "lr": optim.lr}], optim)

    def _terms(self, batch: list[BoxedFrame], epoch: int, number: int) -> dict[str, Tensor]:
        """Mean of each loss over the frames of a batch."""
        draw = torch.Generator().manual_seed((self.config.seed * 10_007 + epoch + 1) * 100_003 + number)
        rows = [
            detection_terms(self.network, self._seen(frame), frame.boxes, frame.labels, frame.ignored, draw)
            for frame in batch
        ]
        return {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}

    @torch.no_grad()
    def _seen(self, frame: BoxedFrame) -> list[Tensor]:
        """What the backbone makes of both cameras."""
        both = torch.cat((frame.visible, frame.thermal.expand(-1, 3, -1, -1)))
        taps = self._features[0](((both - PIXEL_MEAN) / PIXEL_SPREAD).contiguous(memory_format=torch.channels_last))[1:]
        return [tap[k : k + 1] for k in (0, 1) for tap in taps]

    def _frames(
        self, sets: dict[str, PackedPairs], augmentation: AugmentConfig, steps: int, epoch: int
    ) -> DataLoader[list[BoxedFrame]]:
        weights = {name: entry.weight for name, entry in self.config.data.sets.items()}
        frames = BoxedFrames(sets, weights, self.config.scenes, augmentation, steps, self.config.seed, epoch)
        return DataLoader(frames, batch_size=None)
