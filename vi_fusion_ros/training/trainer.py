"""Runs: a folder with logs and checkpoints, resumable."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from vi_fusion_ros.training.checkpoints import is_finished
from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import Splits, load_splits
from vi_fusion_ros.training.methods.tasks import task_of
from vi_fusion_ros.training.task import SCORE, FusionTask
from vi_fusion_ros.training.warm_start import load_network, start_from

_LOG = logging.getLogger(__name__)


class Run(NamedTuple):
    """A finished run.

    Attributes:
        last: its last checkpoint.
        score: ``select/score`` of its last epoch, higher is better.
    """

    last: Path
    score: float


def train(config: TrainConfig, resume: bool = False, splits: Splits | None = None) -> Run:
    """Train, or go on training.

    Logs (CSV and TensorBoard) and checkpoints go to ``config.runs / config.name``: ``last.ckpt`` after every epoch,
    ``best.ckpt`` by ``select/score``. Both hold the averaged weights next to what is needed to resume.

    Args:
        config: the run.
        resume: go on from ``last.ckpt`` where there is one.
        splits: its data, where the caller has read them already.

    Raises:
        ValueError: bad configuration or data, or a checkpoint that cannot be read or has had all its epochs.
    """
    splits = splits or load_splits(config.data)
    lightning.seed_everything(config.seed, workers=True)
    task = task_of(config, splits) if config.method else _fusion_task(config, splits)
    folder = config.runs / config.name
    last = folder / "last.ckpt"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(config), sort_keys=False), encoding="utf-8")
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=config.optim.epochs,
        gradient_clip_val=config.optim.clip,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=min(20, config.optim.steps),
        logger=[CSVLogger(folder, "csv", version=0), TensorBoardLogger(folder, "tensorboard", version=0)],
        callbacks=[
            ModelCheckpoint(folder, "last", enable_version_counter=False, save_on_train_epoch_end=True),
            ModelCheckpoint(
                folder, "best", monitor=SCORE, mode="max", enable_version_counter=False, save_on_train_epoch_end=True
            ),
            EarlyStopping(SCORE, mode="max", patience=config.optim.patience, check_on_train_epoch_end=True),
            EMAWeightAveraging(decay=config.optim.ema),
        ],
        **_affordable(config.trainer),
    )
    trainer.fit(task, ckpt_path=last if resume and last.exists() else None, weights_only=True)
    if SCORE not in trainer.callback_metrics:
        raise ValueError(f"{last} has had its {config.optim.epochs} epochs; raise optim.epochs to go on with it")
    return Run(last, float(trainer.callback_metrics[SCORE]))


def trained(config: TrainConfig, resume: bool, splits: Splits | None = None) -> Path:
    """The last checkpoint of a run, which is trained first unless it is to ``resume`` and is whole already.

    Args:
        config: as for ``train``.
        resume: as for ``train``.
        splits: as for ``train``.

    Raises:
        ValueError: as ``train``.
    """
    last = config.runs / config.name / "last.ckpt"
    if resume and is_finished(last, config.optim.epochs):
        return last
    return train(config, resume, splits).last


def _affordable(options: dict[str, Any]) -> dict[str, Any]:
    """``lightning.Trainer``'s options, in single precision where this processor would have to emulate bfloat16.

    Twelve frames forward and backward took 13 s that way on a processor with AVX2 alone, and 1.7 s in single precision.
    """
    on_cpu = options.get("accelerator") == "cpu" or not torch.accelerator.is_available()
    if not on_cpu or not str(options.get("precision")).startswith("bf16") or _computes_bfloat16():
        return options
    _LOG.warning("this processor has no instructions for bfloat16: training in single precision, which is faster here")
    return {**options, "precision": "32-true"}


def _computes_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return able["architecture"] != "x86_64" or any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))


def _fusion_task(config: TrainConfig, splits: Splits) -> FusionTask:
    """The task of our network, with the weights that the run begins with."""
    task = FusionTask(config, splits, None if config.teacher is None else load_network(config.teacher))
    perceives = config.start_from is not None and start_from(task.network, config.start_from)
    if config.scenes.frames and not perceives:
        task.network.perception.branches.load_pretrained()
    return task
