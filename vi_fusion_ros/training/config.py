"""The training configuration: one YAML file, checked key by key."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from vi_fusion_ros.model.network import VIEW_SIDE, NetworkConfig
from vi_fusion_ros.training.batches.augment import AugmentConfig
from vi_fusion_ros.training.batches.patches import PatchConfig
from vi_fusion_ros.training.batches.scenes import SceneConfig
from vi_fusion_ros.training.losses import FusionWeights
from vi_fusion_ros.yaml_files import read_yaml

_T = TypeVar("_T")
MODALITIES = ("both", "visible", "thermal")


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SetConfig:
    """One dataset, and which of it for what. Ranges are half-open ``[low, high]`` lists of ``Sample.order``.

    A part without ranges is empty. The ``train``, ``select`` and ``test`` ranges must not overlap: they are meant to be
    contiguous blocks, for neighbouring frames are nearly the same.

    Attributes:
        path: its folder, relative to ``data.root``; where there is none, ``PATH.zip`` is unpacked into the cache.
        layout: a name of docs/datasets.md; null guesses it from the folders.
        part: for the layout ``single``, the one set of it to take.
        train: to train on.
        select: what early stopping, tuning and the choice of the recipe look at.
        test: what only the final report looks at.
        weight: how often its frames are drawn, in relation to the other sets.
        pseudo_boxes: whether its training frames without boxes get those of a detector (``training.pseudo_labels``).
    """

    path: Path
    layout: str | None = None
    part: str | None = None
    train: Ranges = ((-1, 1_000_000_000),)
    select: Ranges = ()
    test: Ranges = ()
    weight: float = 1.0
    pseudo_boxes: bool = False

    def __post_init__(self) -> None:
        parts = {"train": self.train, "select": self.select, "test": self.test}
        for name, other in (("train", "select"), ("train", "test"), ("select", "test")):
            if any(a < d and c < b for a, b in parts[name] for c, d in parts[other]):
                raise ValueError(f"{self.path}: its {name} and {other} ranges overlap; a part must stay unseen")


@dataclass(frozen=True)
class DataConfig:
    """Which data.

    Attributes:
        sets: full frames by name.
        crops: object crops, pasted into frames and judged by themselves; or null.
        root: folder that the sets' paths are relative to; ``$VI_FUSION_DATA`` replaces it where that is set.
        cache: folder for decoded pixels and unpacked archives.
        licence: a sentence for the manifest and the model card: under which terms the data stands.
    """

    sets: dict[str, SetConfig] = field(default_factory=dict)
    crops: SetConfig | None = None
    root: Path = Path("../shared/data")
    cache: Path = Path("runs/cache")
    licence: str = "Not stated by whoever trained it. Ask for the terms of the data before use."

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("data.sets is empty; expected at least one dataset of full frames")


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation.

    Attributes:
        lr: peak learning rate of AdamW.
        backbone_lr: the same for the pretrained branches, as a share of ``lr``.
        frozen_blocks: the backbone keeps its stem and its blocks up to this one, of 0 to 2 (EfficientNet's: 0 to 10,
            CenterNet's: 0 to 14, and 15 for all of it); -1 keeps none.
        pretrained_share: share of the pretrained weights in those of the branches that are released, 0 to 1: 0 releases
            them as they were trained.
        weight_decay: its weight decay.
        epochs: epochs; one is ``steps`` batches.
        steps: batches in an epoch.
        warmup: steps of linear warm-up.
        clip: largest norm of the gradient.
        ema: decay of the exponential moving average of the weights that is validated and exported.
        freeze_norm: share of the run after which BatchNorm keeps its statistics, 0 to 1. Those of the pretrained
            branches are kept throughout.
        patience: epochs without a better selection score before stopping early.
        presence_weight: weight of presence in frames.
        centre_weight: weight of the object map.
        sides_weight: weight of the boxes.
        crops_weight: weight of presence on crops.
        illumination_weight: weight of illumination.
        ewc: weight of elastic weight consolidation, of the method ``fusiondn``; 0 leaves it out.
        teacher_weight: weight of the distance to a teacher's outputs, where there is one.
    """

    lr: float = 2e-3
    backbone_lr: float = 0.2
    frozen_blocks: int = 1
    pretrained_share: float = 0.0
    weight_decay: float = 1e-2
    epochs: int = 40
    steps: int = 100
    warmup: int = 100
    clip: float = 5.0
    ema: float = 0.998
    freeze_norm: float = 0.6
    patience: int = 1000
    presence_weight: float = 1.0
    centre_weight: float = 1.0
    sides_weight: float = 0.5
    crops_weight: float = 0.3
    illumination_weight: float = 0.2
    ewc: float = 0.0
    teacher_weight: float = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on.

    Attributes:
        name: of the run's folder below ``runs``.
        data: which data.
        seed: of all randomness.
        modality: ``both``, ``visible`` or ``thermal``.
        method: fusion method of the literature whose network is trained in place of ours (docs/methods.md), or null.
        runs: folder for logs and checkpoints.
        start_from: checkpoint or exported ONNX file whose weights the run begins with, or null.
        teacher: exported ONNX file of a larger network whose outputs the run learns from, too, or null.
        calibration: JSON of ``leave_one_out`` that corrects the calibration by the selection parts, or null.
        network: sizes.
        scenes: batches of whole frames for the perception part.
        patches: batches of patches for the fusion decoder.
        augmentation: probabilities.
        fusion: weights of the fusion loss.
        optim: optimisation.
        trainer: passed on to ``lightning.Trainer`` (accelerator, devices, strategy, precision, num_nodes…).
    """

    name: str
    data: DataConfig
    seed: int = 0
    modality: str = "both"
    method: str | None = None
    runs: Path = Path("runs")
    start_from: Path | None = None
    teacher: Path | None = None
    calibration: Path | None = None
    network: NetworkConfig = field(default_factory=NetworkConfig)
    scenes: SceneConfig = field(default_factory=SceneConfig)
    patches: PatchConfig = field(default_factory=PatchConfig)
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    fusion: FusionWeights = field(default_factory=FusionWeights)
    optim: OptimConfig = field(default_factory=OptimConfig)
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"modality is {self.modality!r}; expected one of {', '.join(MODALITIES)}")
        needed = self.network.view / VIEW_SIDE / 2
        if self.scenes.frames and needed > self.scenes.resolution:
            raise ValueError(
                f"scenes.resolution is {self.scenes.resolution:g}; expected 1 for network.view "
                f"{self.network.view}, which sees more than half of the pixels"
            )


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; relative paths in it are relative to the working directory.

    A key ``base`` names another configuration, relative to this file, whose values hold where this one has none.
    Mappings are merged key by key; null takes a key of the base away.

    Raises:
        ValueError: no such file, not YAML, an unknown or missing key, or a value of the wrong type.
    """
    tree = _with_base(path, ())
    try:
        return build(TrainConfig, tree)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _with_base(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ValueError(f"{path}: is its own base; expected a chain of configurations that ends")
    tree = _mapping(read_yaml(path, "training configuration"), f"{path}: the file")
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ValueError(f"{path}: base is {base!r}; expected the path of a configuration")  # noqa: TRY004
    return _merged(_with_base(path.parent / base, (*seen, path.resolve())), tree)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in over.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = _merged(made[key], value)
        else:
            made[key] = value
    return made


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
    if typing.get_origin(hint) is dict and isinstance(value, dict) and typing.get_args(hint)[1] is not Any:
        return {key: _value(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
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
