"""An adaptation from recordings to a model, or to the reasons for which there is none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.evaluation.output import write_json
from vi_fusion_ros.model.network import FusionNet, NetworkConfig
from vi_fusion_ros.resources import share_path
from vi_fusion_ros.training.adapt.recordings import (
    Recording,
    can_be_judged_by,
    open_labelled,
    open_recordings,
)
from vi_fusion_ros.training.adapt.release import release
from vi_fusion_ros.training.adapt.task import AdaptTask
from vi_fusion_ros.training.adapt.verdict import judge
from vi_fusion_ros.training.batches.packed import PackedPairs
from vi_fusion_ros.training.checkpoints import checkpoint_weights, is_finished
from vi_fusion_ros.training.config import DataConfig, OptimConfig, SetConfig, TrainConfig, load_config
from vi_fusion_ros.training.data import Splits
from vi_fusion_ros.training.datasets.base import PairDataset
from vi_fusion_ros.training.warm_start import load_network

MODEL = "adapted.onnx"


class Adaptation(NamedTuple):
    """How an adaptation ended.

    Attributes:
        model: the ONNX file, None where nothing is kept.
        verdict: figures and reasons, as in ``verdict.json``.
        problems: sentences about pairs that were left out.
    """

    model: Path | None
    verdict: dict[str, Any]
    problems: tuple[str, ...]


def adapt(
    datasets: Sequence[PairDataset],
    model: Path,
    folder: Path,
    rig: Path | None = None,
    optim: OptimConfig | None = None,
    labelled: Sequence[PairDataset] = (),
) -> Adaptation:
    """Adapt a model to recordings, or go on with it.

    ``folder`` gets ``adapted.onnx`` where the adapted model is better, once its manifest and card are there, and
    ``verdict.json`` in any case, last of all. Until then the state lies in ``folder / "run"``; a call that was killed
    goes on from there.

    Args:
        datasets: the recordings; pairs in the order of time.
        model: ONNX file to start from; its manifest lies beside it.
        folder: made where it is missing.
        rig: rig file that registers all recordings; None where they are registered.
        optim: length and rates; None: those of ``config/training/adapt.yaml``, as everything else.
        labelled: registered pairs with labels; what is told of them may not become worse. The labels of what is set
            aside of the recordings count, too.

    Raises:
        ValueError: the model, the rig, a recording or the folder cannot be used.
    """
    manifest = Manifest.load(model.with_suffix(".json"))
    base = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    about = _about(datasets, model, rig, labelled)
    ended = _begun(folder, about)
    run = folder / "run"
    if ended is not None:
        shutil.rmtree(run, ignore_errors=True)  # of a call that was killed after its verdict
        return Adaptation(None if ended["reasons"] else folder / MODEL, ended, ())
    try:
        recordings = open_recordings(datasets, rig, run / "pixels")
        truth = open_labelled(labelled, run / "pixels")
    except ValueError:
        _leave_nothing(folder)
        raise
    write_json(run / "about.json", about)
    teacher = load_network(model)
    config = _config(teacher.config, model, recordings, run, optim)
    network = FusionNet(teacher.config)
    trained = fit_without_labels(config, {r.name: r.trained for r in recordings}, teacher, run)
    network.load_state_dict(checkpoint_weights(trained)[1])
    aside = [recording.aside for recording in recordings]
    truth += [part for part in aside if part.presence()[1].any()]
    verdict = judge(teacher, network.eval(), manifest, aside, truth if can_be_judged_by(truth) else ())
    if not verdict["reasons"]:
        if verdict["words"]["reasons"]:  # the two parts share no weight
            network.perception.load_state_dict(teacher.perception.state_dict())
        release(network, run / MODEL, base, recordings, verdict)
        for suffix in (".md", ".json", ".onnx"):  # the model last: where it is, its manifest is
            (run / MODEL).with_suffix(suffix).replace((folder / MODEL).with_suffix(suffix))
    verdict = {"kept": not verdict["reasons"], "about": about, **verdict}
    write_json(folder / "verdict.json", verdict)
    shutil.rmtree(run, ignore_errors=True)
    problems = tuple(problem for recording in recordings for problem in recording.problems)
    return Adaptation(folder / MODEL if verdict["kept"] else None, verdict, problems)


def _leave_nothing(folder: Path) -> None:
    """Take away what was decoded of recordings that cannot be used, and the folder where nothing else is in it."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _about(
    datasets: Sequence[PairDataset], model: Path, rig: Path | None, labelled: Sequence[PairDataset]
) -> dict[str, Any]:
    """What an adaptation depends on: only the same may go on."""
    files = {"model": model} if rig is None else {"model": model, "rig": rig}
    digests = {}
    for name, path in files.items():
        try:
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror}); expected the {name}") from error
    sets = {"recordings": datasets, **({"labelled": labelled} if labelled else {})}
    listed = {key: [{"path": str(d.root.resolve()), "pairs": len(d)} for d in some] for key, some in sets.items()}
    return {**digests, **listed}


def _begun(folder: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """The verdict of a folder whose adaptation has ended; None where it is to begin, or to go on.

    Raises:
        ValueError: what lies there is of another adaptation.
    """
    verdict, other = None, None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        verdict = dict(json.loads((folder / "verdict.json").read_text(encoding="utf-8")))
        other = verdict["about"]
    if verdict is None:
        with contextlib.suppress(OSError, ValueError):
            other = json.loads((folder / "run" / "about.json").read_text(encoding="utf-8"))
    if other is not None and other != about:
        raise ValueError(
            f"{folder}: holds the adaptation of another model, rig, recordings or labelled frames; "
            "expected another folder"
        )
    return verdict


def _config(
    network: NetworkConfig, model: Path, recordings: Sequence[Recording], run: Path, optim: OptimConfig | None
) -> TrainConfig:
    sets = {
        recording.name: SetConfig(Path(recording.name), train=(recording.ranges[0],), test=(recording.ranges[1],))
        for recording in recordings
    }
    config = load_config(share_path() / "config" / "training" / "adapt.yaml")
    return replace(
        config,
        name=run.name,
        data=DataConfig(sets),
        runs=run.parent,
        start_from=model,
        network=network,
        optim=optim or config.optim,
    )


def fit_without_labels(config: TrainConfig, sets: dict[str, PackedPairs], teacher: FusionNet, run: Path) -> Path:
    """The checkpoint after the last epoch; what was done before a call that was killed is not done again.

    Args:
        config: lengths, rates and losses.
        sets: registered pairs by name.
        teacher: the network to start from, which ``AdaptTask`` keeps to.
        run: folder for logs and checkpoints.

    Raises:
        ValueError: the loss has become infinite.
    """
    last = run / "last.ckpt"
    if is_finished(last, config.optim.epochs):
        return last
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    task = AdaptTask(config, Splits(sets, {}, None, None), teacher)
    task.network.load_state_dict(teacher.state_dict())
    trainer = lightning.Trainer(
        default_root_dir=run,
        max_epochs=config.optim.epochs,
        gradient_clip_val=config.optim.clip,
        reload_dataloaders_every_n_epochs=1,
        limit_val_batches=0,
        enable_model_summary=False,
        log_every_n_steps=min(20, config.optim.steps),
        logger=CSVLogger(run, "csv", version=0),
        callbacks=[
            ModelCheckpoint(run, "last", enable_version_counter=False, save_on_train_epoch_end=True),
            EMAWeightAveraging(decay=config.optim.ema),
        ],
    )
    trainer.fit(task, ckpt_path=last if last.exists() else None, weights_only=True)
    if not math.isfinite(float(trainer.callback_metrics["train/loss"])):
        raise ValueError(f"{run}: the loss is not finite; expected recordings without broken images")
    return last
