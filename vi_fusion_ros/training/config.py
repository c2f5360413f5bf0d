"""The training configuration: one YAML file, checked key by key."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vi_fusion_ros.model.network import NetworkConfig
from vi_fusion_ros.training.augment import AugmentConfig
from vi_fusion_ros.training.batches import BatchConfig
from vi_fusion_ros.training.losses import FusionWeights
from vi_fusion_ros.yaml_files import read_yaml

_T = TypeVar("_T")
MODALITIES = ("both", "visible", "thermal")


@dataclass(frozen=True)
class DataConfig:
    """Which data, and which of it for what. Ranges are half-open ``[low, high]`` lists of ``Sample.order``.

    Attributes:
        crops: folder of the object crops; null cuts them from the boxes of the frames, by the ranges of the frames.
        frames: folder of the full frames, or null.
        frames_layout: a name of docs/datasets.md; null guesses it from the folders.
        crops_train: ranges of crops to train on.
        crops_select: ranges of crops that early stopping, tuning and the choice of the recipe look at.
        crops_test: ranges of crops that only the final report looks at.
        frames_train: the same for frames.
        frames_select: the same for frames.
        frames_test: the same for frames.
        cache: folder for decoded pixels.
        licence: a sentence for the manifest and the model card: under which terms the data stands.
    """

    crops: Path | None = None
    frames: Path | None = None
    frames_layout: str | None = None
    crops_train: tuple[tuple[int, int], ...] = ((0, 6500), (7000, 7250))
    crops_select: tuple[tuple[int, int], ...] = ((6500, 7000), (7250, 7500))
    crops_test: tuple[tuple[int, int], ...] = ((7500, 8863),)
    frames_train: tuple[tuple[int, int], ...] = ((1, 91),)
    frames_select: tuple[tuple[int, int], ...] = ((91, 101),)
    frames_test: tuple[tuple[int, int], ...] = ((101, 145),)
    cache: Path = Path("runs/cache")
    licence: str = "Not stated by whoever trained it. Ask for the terms of the data before use."

    def __post_init__(self) -> None:
        if self.crops is None and self.frames is None:
            raise ValueError("data has neither crops nor frames; expected a folder of one or both")
        for kind in ("crops", "frames"):
            parts = {part: getattr(self, f"{kind}_{part}") for part in ("train", "select", "test")}
            for low, high in parts["test"]:
                for part in ("train", "select"):
                    if any(a < high and low < b for a, b in parts[part]):
                        raise ValueError(f"data.{kind}_{part} overlaps data.{kind}_test; a test part must stay unseen")


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation.

    Attributes:
        lr: peak learning rate of AdamW.
        weight_decay: its weight decay.
        epochs: epochs; one is ``steps`` batches.
        steps: batches in an epoch.
        warmup: steps of linear warm-up.
        clip: largest norm of the gradient.
        ema: decay of the exponential moving average of the weights that is validated and exported.
        freeze_norm: share of the run after which BatchNorm keeps its statistics, 0 to 1.
        patience: epochs without a better selection score before stopping early.
        crops_weight: weight of presence on crops.
        exclusive_weight: weight of the cross-entropy between labels on crops.
        frames_weight: weight of presence on frames.
        places_weight: weight of the dense head's score map on frames.
        illumination_weight: weight of illumination.
    """

    lr: float = 2e-3
    weight_decay: float = 1e-2
    epochs: int = 40
    steps: int = 200
    warmup: int = 100
    clip: float = 5.0
    ema: float = 0.998
    freeze_norm: float = 0.6
    patience: int = 1000
    crops_weight: float = 1.0
    exclusive_weight: float = 0.5
    frames_weight: float = 1.0
    places_weight: float = 0.3
    illumination_weight: float = 0.2


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on.

    Attributes:
        name: of the run's folder below ``runs``.
        data: which data.
        seed: of all randomness.
        modality: ``both``, ``visible`` or ``thermal``.
        runs: folder for logs and checkpoints.
        start_from: checkpoint or exported ONNX file whose weights the run begins with, or null.
        network: sizes.
        batch: sizes of a step.
        augmentation: probabilities.
        fusion: weights of the fusion loss.
        optim: optimisation.
        trainer: passed on to ``lightning.Trainer`` (accelerator, devices, strategy, precision, num_nodes…).
    """

    name: str
    data: DataConfig
    seed: int = 0
    modality: str = "both"
    runs: Path = Path("runs")
    start_from: Path | None = None
    network: NetworkConfig = field(default_factory=NetworkConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    fusion: FusionWeights = field(default_factory=FusionWeights)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"modality is {self.modality!r}; expected one of {', '.join(MODALITIES)}")


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; relative paths in it are relative to the working directory.

    Raises:
        ValueError: no such file, not YAML, an unknown or missing key, or a value of the wrong type.
    """
    tree = read_yaml(path, "training configuration")
    try:
        return build(TrainConfig, _mapping(tree, "the file"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build(kind: type[_T], tree: dict[str, Any], where: str = "") -> _T:
    """Make a configuration dataclass from plain values, nested ones too.

    Raises:
        ValueError: names the key at fault.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(tree) - set(hints))
    if unknown:
        raise ValueError(f"unknown key {where}{unknown[0]}; expected one of {', '.join(sorted(hints))}")
    values = {key: _value(hints[key], value, f"{where}{key}") for key, value in tree.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where or 'top'}: {str(error).split(') ')[-1]}") from error


def plain(config: Any) -> dict[str, Any]:
    """A configuration as plain values that ``build`` reads back."""
    return {key: _plain(value) for key, value in dataclasses.asdict(config).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError(f"{where} is {value!r}; expected keys and values")


def _value(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if type(None) in typing.get_args(hint) else ()
    if options:
        if value is None:
            return None
        hint = next(option for option in options if option is not type(None))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, _mapping(value, where), f"{where}.")
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value) if value else ()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain_type = typing.get_origin(hint) or hint
    if not isinstance(value, plain_type) or (isinstance(value, bool) and plain_type is not bool):
        raise ValueError(f"{where} is {value!r}; expected {getattr(plain_type, '__name__', plain_type)}")
    return value
