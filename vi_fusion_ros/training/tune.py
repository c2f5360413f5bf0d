"""Search hyperparameters on the selection parts with Optuna."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import optuna
import yaml

from vi_fusion_ros.training.config import TrainConfig, plain
from vi_fusion_ros.training.data import Splits, load_splits
from vi_fusion_ros.training.trainer import train


def tune(config: TrainConfig, trials: int) -> Path:
    """Train ``trials`` runs of ``config`` with other hyperparameters and keep the best.

    The study lies in ``config.runs / config.name / tune.db``: a second call goes on with it. A trial whose loss is not
    finite counts as failed; the search goes on.

    Args:
        config: what all trials share, length included.
        trials: how many to add.

    Returns:
        Path of ``best.yaml``: the configuration of the trial with the highest ``select/score``.

    Raises:
        ValueError: bad data, or no trial succeeded.
    """
    folder = config.runs / config.name
    folder.mkdir(parents=True, exist_ok=True)
    splits = load_splits(config.data)
    study = optuna.create_study(
        study_name=config.name,
        storage=f"sqlite:///{folder / 'tune.db'}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        load_if_exists=True,
    )
    study.optimize(lambda trial: _score(trial, config, splits), n_trials=trials, show_progress_bar=True)
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if not finished:
        raise ValueError(f"{folder}: none of {trials} trials finished with a score")
    best = folder / "best.yaml"
    chosen = _varied(study.best_trial, config)
    best.write_text(yaml.safe_dump(plain(chosen), sort_keys=False), encoding="utf-8")
    return best


def _score(trial: optuna.trial.Trial, config: TrainConfig, splits: Splits) -> float:
    varied = dataclasses.replace(_varied(trial, config), name=f"{config.name}/trial-{trial.number}")
    return train(varied, splits=splits).score


def _varied(trial: optuna.trial.BaseTrial, config: TrainConfig) -> TrainConfig:
    """``config`` with what the search varies. Weights of the fusion loss are a matter of taste and stay as they are."""
    optim = dataclasses.replace(
        config.optim,
        lr=trial.suggest_float("lr", 5e-4, 5e-3, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
        backbone_lr=trial.suggest_float("backbone_lr", 0.05, 0.5, log=True),
    )
    augmentation = dataclasses.replace(
        config.augmentation,
        missing_thermal=trial.suggest_float("missing_thermal", 0.05, 0.4),
        low_light=trial.suggest_float("low_light", 0.0, 0.4),
        polarity=trial.suggest_float("polarity", 0.0, 0.15),
    )
    return dataclasses.replace(config, optim=optim, augmentation=augmentation)
