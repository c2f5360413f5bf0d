"""Intrinsics that the ``calibrate`` commands hold fixed: from files, or from the CameraInfo in a bag."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vi_fusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from vi_fusion_ros.registration.rig import Camera, Size

OF_THE_BAG = "bag"
"""In place of a file: the CameraInfo beside the image topic."""

_INFO = "sensor_msgs/msg/CameraInfo"


def add_lenses(parser: argparse.ArgumentParser) -> None:
    """Add the options that name intrinsics."""
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}-info",
            metavar="FILE",
            help=f"camera_info YAML with the intrinsics of the {camera} camera, which stay as they are; "
            f"'{OF_THE_BAG}': those in the CameraInfo of the bag",
        )


def known_lenses(
    args: argparse.Namespace, thermal_size: Size, visible_size: Size
) -> tuple[Camera | None, Camera | None]:
    """The thermal and the visible lens that the options name, None where they name none.

    Args:
        args: with the options of ``add_lenses`` and ``add_inputs``.
        thermal_size: (width, height) of the images.
        visible_size: the same.

    Raises:
        ValueError: there is no such file or CameraInfo, or it describes no camera with images of that size.
    """
    thermal, visible = (
        _lens(args, camera, size) for camera, size in (("thermal", thermal_size), ("visible", visible_size))
    )
    return thermal, visible


def _lens(args: argparse.Namespace, camera: str, size: Size) -> Camera | None:
    from vi_fusion_ros.registration.lens_file import load_lens

    given = getattr(args, f"{camera}_info")
    if given is None:
        return None
    if given != OF_THE_BAG:
        return load_lens(Path(given), size)
    if args.bag is None:
        raise ValueError(f"--{camera}-info {OF_THE_BAG} is the CameraInfo of a bag, and there is none; give --bag")
    return _recorded(args.bag, getattr(args, f"{camera}_topic"), size)


def _recorded(bag: Path, image_topic: str, size: Size) -> Camera:
    """The lens in the first CameraInfo of a bag that belongs to an image topic."""
    from vi_fusion_ros.bags.message_types import typestore
    from vi_fusion_ros.bags.source import BagError, open_bag
    from vi_fusion_ros.registration.info_lens import is_rectified, lens_of_info

    with closing(open_bag(bag)) as source:
        infos = sorted(topic for topic, kind in source.topics.items() if kind == _INFO and source.counts.get(topic))
        topic = next((name for name in _beside(image_topic) if name in infos), None)
        if topic is None:
            raise BagError(
                f"{bag} has no CameraInfo on {_beside(image_topic)[0]}; its CameraInfo topics are: "
                f"{', '.join(infos) or 'none'}"
            )
        message = typestore().deserialize_cdr(next(iter(source.records([topic]))).data, _INFO)
    try:
        lens, made_for = lens_of_info(message, is_rectified(image_topic))
    except ValueError as error:
        raise ValueError(f"{topic} of {bag}: {error}") from None
    if made_for != size:
        raise ValueError(
            f"{topic} of {bag} is for images of {made_for[0]}x{made_for[1]}, these have {size[0]}x{size[1]}; give the "
            "intrinsics of this resolution in a file"
        )
    return lens


def _beside(image_topic: str) -> list[str]:
    """Where the CameraInfo of an image topic may be: beside it, and beside the topic without its transport."""
    parts = image_topic.split("/")
    return ["/".join([*parts[:-cut], "camera_info"]) for cut in (1, 2) if len(parts) > cut]
