"""What a step of an adaptation learns from: the fused picture, the other camera, and the model that it starts from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vi_fusion_ros.model.network import SIZE_MULTIPLE, FusionNet
from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.batches.patches import PatchBatches, PatchConfig
from vi_fusion_ros.training.config import TrainConfig
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.datasets.labels import LABELS
from vi_fusion_ros.training.perception_losses import relative_distance
from vi_fusion_ros.training.predict import blackened
from vi_fusion_ros.training.task import Batch, FusionTask

_KEEP, _PREDICT = 4.0, 0.5  # weights
_WINDOWS, _WINDOW = 2, 384  # a step; pixels


class AdaptBatch(NamedTuple):
    """What a step learns from."""

    patches: Augmented
    windows: Augmented


class _AdaptBatches(Dataset[AdaptBatch]):
    """The batches of one epoch."""

    def __init__(self, config: TrainConfig, sets: dict[str, PackedPairs], steps: int, epoch: int) -> None:
        weights = {name: entry.weight for name, entry in config.data.sets.items()}
        common = (config.augmentation, steps, config.seed, epoch)
        self._patches = PatchBatches(sets, weights, config.patches, *common)
        self._windows = PatchBatches(sets, weights, _windows(sets), *common)
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, number: int) -> AdaptBatch:
        return AdaptBatch(self._patches[number], self._windows[number])


def _windows(sets: dict[str, PackedPairs]) -> PatchConfig:
    """Perception judges whole frames: the decoder's patches would teach it too little of what surrounds an object."""
    least = min(min(frames[i].shape[:2]) for frames in sets.values() for i in range(len(frames)))
    side = min(least, _WINDOW) // SIZE_MULTIPLE * SIZE_MULTIPLE
    return PatchConfig(patches=_WINDOWS, size=side, scale=(0.9, 1.1), flatten=0.0)


class _Seen(NamedTuple):
    """What a network makes of images: features at two scales and outputs. The sides of boxes are logarithms.

    Day or night is not among them: no branch learns from it.
    """

    coarse: Tensor
    fine: Tensor
    presence: Tensor
    centres: Tensor
    sides: Tensor


class AdaptTask(FusionTask):
    """Fits the fusion decoder and the branches of perception to new cameras, without labels.

    - The decoder learns by the fusion losses, as in training.
    - *Consistency between the cameras*: with one camera black, the network has to predict the features and the outputs
      that the teacher has with both: what the missing camera would add, from the other one.
    - *Distillation*: with both cameras, features and outputs stay those of the teacher, so labels do not drift. What
      follows the branches (attention, pyramid, heads) is not trained at all.

    Args:
        config: with ``scenes.frames`` 0: there are no labels.
        splits: the recordings, nothing to select by.
        teacher: the model that is started from; it is not changed.
    """

    def __init__(self, config: TrainConfig, splits: Splits, teacher: FusionNet) -> None:
        super().__init__(config, splits)
        # In a tuple it is no part of the checkpoint. The fused picture does not learn from it.
        self._origin = (teacher.eval().requires_grad_(requires_grad=False),)
        branches = self.network.perception.branches
        for part in branches.pretrained():  # what is behind them would learn at the rate of the fused picture
            part.requires_grad_(True)
        for part in branches.frozen_part(config.optim.frozen_blocks):
            part.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        """As in training, and no dropout: what is to stay the same needs no noise."""
        super().on_train_epoch_start()
        self.network.perception.drop.eval()
        self._origin[0].to(self.device)

    def train_dataloader(self) -> DataLoader[AdaptBatch]:  # type: ignore[override]
        """The batches of this epoch, a pure function of seed and epoch."""
        steps = self.config.optim.steps * self.trainer.world_size
        return DataLoader(_AdaptBatches(self.config, self.splits.train, steps, self.current_epoch), batch_size=None)

    def training_step(self, batch: AdaptBatch, number: int) -> Tensor:  # type: ignore[override]
        """Fusion losses, and what perception keeps and predicts."""
        fusion = super().training_step(Batch(None, None, batch.patches), number)
        terms = self._perception_terms(batch.windows)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()}, on_step=True, batch_size=1)
        return fusion + torch.stack(list(terms.values())).sum()

    def _perception_terms(self, images: Augmented) -> dict[str, Tensor]:
        there = images.both
        if not bool(there.any()):
            return {"keep": images.visible.sum() * 0}
        visible, thermal = (self.network.of_usual_view(image[there], 1.0) for image in (images.visible, images.thermal))
        with torch.no_grad():
            wanted = _seen(self._origin[0], visible, thermal)
        terms = {"keep": _KEEP * relative_distance(_seen(self.network, visible, thermal), wanted)}
        for camera in ("visible", "thermal"):
            terms[f"predict_from_{camera}"] = _PREDICT * relative_distance(
                _seen(self.network, *blackened(visible, thermal, camera)), wanted
            )
        return terms


def _seen(network: FusionNet, visible: Tensor, thermal: Tensor) -> _Seen:
    held: dict[str, Tensor] = {}
    perception = network.perception
    hooks = [
        part.register_forward_hook(lambda _module, _inputs, output, name=name: held.__setitem__(name, output))
        for name, part in (("coarse", perception.coarse), ("fine", perception.fine))
    ]
    try:
        output = perception(visible, thermal)
    finally:
        for hook in hooks:
            hook.remove()
    presence = torch.cat((output.from_centres, output.from_scores), 1)
    centres, sides = output.objects[:, : len(LABELS)], output.objects[:, len(LABELS) :]
    return _Seen(held["coarse"], held["fine"], presence, centres, torch.log(sides))
