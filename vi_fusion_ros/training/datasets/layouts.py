"""Every dataset layout that can be told by its folders: one table for training, evaluation and ``dataset check``.

Bags are not in it: reading their messages is the business of whoever knows ROS, who adds them (``commands.dataset``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vi_fusion_ros.training.datasets.base import DatasetError, PairDataset
from vi_fusion_ros.training.datasets.crops import CropsDataset
from vi_fusion_ros.training.datasets.drawn_pairs import LlvipDataset, M3fdDataset
from vi_fusion_ros.training.datasets.flir import V1_PARTS, V2_MAP, FlirV1, FlirV2
from vi_fusion_ros.training.datasets.kaist import KaistDataset, set_folders
from vi_fusion_ros.training.datasets.labels import ILLUMINATION
from vi_fusion_ros.training.datasets.msrs import MsrsDataset, is_part
from vi_fusion_ros.training.datasets.paired import PairedFolders
from vi_fusion_ros.training.datasets.presence_table import TABLE, PresenceTable
from vi_fusion_ros.training.datasets.roadscene import PUBLISHED, RoadSceneDataset
from vi_fusion_ros.training.datasets.single_camera import SingleCamera


class Layout(NamedTuple):
    """One way in which a dataset lies on disk.

    Attributes:
        open: makes the dataset of a path; raises ValueError where it is nothing of the kind.
        fits: whether an existing path looks like it.
        signs: the files or folders that ``fits`` looks for, for messages.
        labelled: whether it says what its images show, so that a model can be judged by it.
        registered: whether a thermal pixel shows what the same visible pixel shows; else a rig file has to say where.
    """

    open: Callable[[Path], PairDataset]
    fits: Callable[[Path], bool]
    signs: str
    labelled: bool = True
    registered: bool = True


def _has(*choices: str) -> Callable[[Path], bool]:
    """Whether one of the choices is there; each is a list of names, separated by spaces, that all have to be."""
    return lambda root: any(all((root / name).exists() for name in choice.split()) for choice in choices)


def _flir(root: Path) -> PairDataset:
    return (FlirV2 if LAYOUTS["flir_v2"].fits(root) else FlirV1)(root)


def _never(_: Path) -> bool:
    return False


LAYOUTS: dict[str, Layout] = {
    "crops": Layout(CropsDataset, _has(*ILLUMINATION), "day or night"),
    "roadscene": Layout(RoadSceneDataset, _has("visible frames.json", " ".join(PUBLISHED)), "visible and frames.json"),
    "presence": Layout(
        PresenceTable,
        lambda root: (root / TABLE).exists() or root.with_name(f"{root.name}_{TABLE}").exists(),
        f"{TABLE} inside or FOLDER_{TABLE} beside",
    ),
    "single": Layout(SingleCamera, _never, "visible or thermal alone"),
    "kaist": Layout(KaistDataset, lambda root: bool(set_folders(root)), "set00"),
    "llvip": Layout(LlvipDataset, _has("visible/train infrared", "visible/test infrared"), "visible/train"),
    "m3fd": Layout(M3fdDataset, _has("Vis Ir"), "Vis and Ir"),
    "msrs": Layout(
        MsrsDataset,
        lambda root: any(map(is_part, (root, root / "train", root / "test"))),
        "train/vi and train/ir",
    ),
    "flir_v1": Layout(
        FlirV1,
        _has("thermal_8_bit", *(f"{p}/thermal_8_bit" for p in V1_PARTS)),
        "train/thermal_8_bit",
        registered=False,
    ),
    "flir_v1_16bit": Layout(partial(FlirV1, bits=16), _never, "train/thermal_16_bit", registered=False),
    "flir_v2": Layout(FlirV2, _has(V2_MAP, "images_thermal_train"), V2_MAP, registered=False),
    "flir_v2_16bit": Layout(partial(FlirV2, bits=16), _never, V2_MAP, registered=False),
    "flir": Layout(_flir, _never, "train/thermal_8_bit or " + V2_MAP, registered=False),
    "paired": Layout(PairedFolders, _has("visible thermal"), "visible and thermal", labelled=False),
}
"""Layouts by name; where several fit a path, the first is meant. 16-bit images are taken only where asked for."""

LABELLED = {name: layout for name, layout in LAYOUTS.items() if layout.labelled}
"""The layouts that a model's classification can be judged by; those that are not registered with a rig file."""

CLASSIFIED = {name: layout for name, layout in LABELLED.items() if layout.registered}
"""Those of them that need no rig file."""

REGISTERED = {name: layout for name, layout in LAYOUTS.items() if layout.registered}
"""The layouts of registered pairs, labelled or not."""


def guess_layout(root: Path, layouts: Mapping[str, Layout]) -> str:
    """The name of the layout of a path.

    Raises:
        DatasetError: there is no such path, or it is like none of the layouts.
    """
    if not root.exists():
        raise DatasetError(f"{root}: no such folder; expected a dataset")
    for name, layout in layouts.items():
        if layout.fits(root):
            return name
    signs = "; ".join(f"{layout.signs} ({name})" for name, layout in layouts.items() if layout.fits is not _never)
    raise DatasetError(f"{root}: holds none of {signs}; expected one of these layouts: {', '.join(layouts)}")
