"""Evaluate fusion on folders of registered visible and thermal images: trivial fusions, others' results, our model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.fusion.evaluation import OURS, TRIVIAL, FusionEvaluation, Gray8, trivial_fusions
from vi_fusion_ros.evaluation.metrics.fusion import metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.model_fusion import fuse_pair
from vi_fusion_ros.evaluation.parallel import map_in_order
from vi_fusion_ros.methods.registry import method
from vi_fusion_ros.training.datasets.base import DatasetError, image_files, pair_by_stem, read_image
from vi_fusion_ros.types import FusionResult

Row = dict[str, dict[str, float]]
"""Values of one frame by method and metric."""


@dataclass(frozen=True)
class FrameFiles:
    """The images of one frame.

    Attributes:
        name: file stem, the same for all.
        visible: grey or colour, 8 bit.
        thermal: registered to the visible image, 8 bit.
        fused: results of other methods, by name of the method.
        methods: methods of ``vi_fusion_ros.methods`` to run, by name, with their weights where they have some.
    """

    name: str
    visible: Path
    thermal: Path
    fused: Mapping[str, Path]
    methods: Mapping[str, Path | None] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameImages:
    """One frame, grey, all (H, W) uint8.

    Attributes:
        visible: luma.
        thermal: as read.
        fused: result of each method.
        ours: what our pipeline said, where it ran.
    """

    visible: Gray8
    thermal: Gray8
    fused: dict[str, Gray8]
    ours: FusionResult | None


def find_frames(
    visible: Path, thermal: Path, fused: Mapping[str, Path], methods: Mapping[str, Path | None] | None = None
) -> tuple[list[FrameFiles], list[str]]:
    """Pair the images of the folders by file stem.

    Args:
        visible: folder of visible images.
        thermal: folder of thermal images, registered.
        fused: folders of other methods' results by the name of the method.
        methods: methods of ``vi_fusion_ros.methods`` to run on each frame, with their weights.

    Returns:
        Frames in order of their names, and a sentence for each image without partner.

    Raises:
        ValueError: if a folder is missing or holds no frame of the others, a method's folder lacks a frame, or its name
            is taken.
    """
    methods = methods or {}
    for name in fused:
        if name in (*TRIVIAL, OURS, *methods) or not name:
            raise ValueError(f"--fused {name}=…: expected a name other than {', '.join((*TRIVIAL, OURS, *methods))}")
    pairs, problems = pair_by_stem(visible, thermal)
    if not pairs:
        raise ValueError(f"{visible} and {thermal} share no image name; expected pairs of the same file stem")
    results = {name: image_files(folder) for name, folder in fused.items()}
    for name, files in results.items():
        missing = [stem for stem, _, _ in pairs if stem not in files]
        if missing:
            raise ValueError(
                f"{fused[name]}: no result for {len(missing)} of {len(pairs)} frames, the first is '{missing[0]}'; "
                "expected an image of the same file stem for each"
            )
    frames = [
        FrameFiles(stem, left, right, {name: files[stem] for name, files in results.items()}, methods)
        for stem, left, right in pairs
    ]
    return frames, [str(problem) for problem in problems]


def evaluate_folders(
    frames: list[FrameFiles], model: Path | None, jobs: int, problems: list[str] | None = None
) -> FusionEvaluation:
    """Compute every metric of every method on every frame.

    Args:
        frames: as ``find_frames`` gives them; all with the same methods.
        model: ONNX file of our model; without it only the other methods are evaluated.
        jobs: number of processes.
        problems: sentences about what was left out so far.

    Raises:
        ValueError: if no frame can be read, or the model cannot be loaded.
    """
    names, rows, left_out = evaluated_frames(partial(_evaluate_frame, model=model), frames, jobs, problems)
    methods = tuple(rows[0])
    values = np.array([[list(row[method].values()) for method in methods] for row in rows])
    return FusionEvaluation(methods, names, values, left_out)


def evaluated_frames(
    evaluate: Callable[[FrameFiles], Row | str], frames: list[FrameFiles], jobs: int, problems: list[str] | None = None
) -> tuple[list[str], list[Row], list[str]]:
    """Evaluate frames in processes, with a progress bar.

    Args:
        evaluate: gives the values of one frame, or a sentence why there are none.
        frames: as ``find_frames`` gives them.
        jobs: number of processes.
        problems: sentences about what was left out so far.

    Returns:
        Names and values of the frames that could be evaluated, and a sentence for each that could not.

    Raises:
        ValueError: none can.
    """
    rows = map_in_order(evaluate, frames, jobs, "fusion metrics")
    kept = [(frame.name, row) for frame, row in zip(frames, rows, strict=True) if not isinstance(row, str)]
    left_out = [*(problems or []), *(row for row in rows if isinstance(row, str))]
    if not kept:
        raise ValueError(f"none of the {len(frames)} frames can be evaluated; the first problem: {left_out[0]}")
    return [name for name, _ in kept], [row for _, row in kept], left_out


def fused_images(frame: FrameFiles, model: Path | None) -> FrameImages:
    """Read one frame and run or read every method's result.

    Raises:
        DatasetError: if an image cannot be read, is not 8 bit or has another size.
    """
    colour = read_8bit(frame.visible)
    visible, thermal = to_gray(colour), to_gray(read_8bit(frame.thermal))
    check_size(frame.thermal, thermal, visible)
    ours = None if model is None else fuse_pair(model, colour, thermal)
    fused = {} if ours is None else {OURS: to_gray(ours.fused.astype(np.uint8, copy=False))}
    fused |= trivial_fusions(visible, thermal)
    for name, weights in frame.methods.items():
        entry = method(name) if weights is None else method(name).with_weights(weights)
        fused[name] = entry.fuse(visible, thermal)
    for name, path in frame.fused.items():
        fused[name] = to_gray(read_8bit(path))
        check_size(path, fused[name], visible)
    return FrameImages(visible, thermal, fused, ours)


def _evaluate_frame(frame: FrameFiles, model: Path | None) -> Row | str:
    try:
        images = fused_images(frame, model)
        return metrics_of_methods(images.fused, images.visible, images.thermal)
    except DatasetError as error:
        return str(error)
    except ValueError as error:  # of the metrics, which do not know the file
        return f"{frame.visible}: {error}"


def read_8bit(path: Path) -> npt.NDArray[np.uint8]:
    """An image as it is, (H, W) or (H, W, 3) BGR.

    Raises:
        DatasetError: it cannot be read, or has not 8 bits.
    """
    image = read_image(path, cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint8:
        raise DatasetError(f"{path}: {image.dtype} values; expected an 8-bit image")
    return image.astype(np.uint8, copy=False)


def check_size(path: Path, image: Gray8, visible: Gray8) -> None:
    """Whether an image has the size of the visible one.

    Raises:
        DatasetError: it has not; the sentence names its file.
    """
    if image.shape != visible.shape:
        (height, width), (rows, columns) = image.shape, visible.shape
        raise DatasetError(f"{path}: {width}x{height}, the visible image is {columns}x{rows}; expected the same size")
