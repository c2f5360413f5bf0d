"""``vi-fusion calibrate thermal``: a thermal camera's dead pixels and fixed pattern, from a view of nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vi_fusion_ros.cli.calibrate.inputs import thermal_frames

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vi_fusion_ros.types import Image

_FRAMES, _SECONDS, _LEAST = 100, 5.0, 10
_MOST_DEAD = 0.05  # share of the pixels; more than that is no defect but a scene


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = kinds.add_parser(
        "thermal",
        help="dead pixels and fixed pattern of the thermal camera, from its lens cap",
        description="Cover the lens with something of even temperature. Writes DIR/dead_pixels.png and "
        "DIR/flat_field.tiff, for the parameters thermal.dead_pixels and thermal.flat_field.",
    )
    parser.add_argument("--thermal", type=Path, metavar="PATH", help=f"folder or video; {_FRAMES} frames are used")
    parser.add_argument("--bag", type=Path, metavar="BAG", help="rosbag2 folder or file, in its place")
    parser.add_argument("--live", action="store_true", help=f"a live topic in its place, for {_SECONDS:g} s")
    parser.add_argument("--thermal-topic", metavar="TOPIC", help="of thermal images, raw or …/compressed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for both files")
    parser.set_defaults(calibrate=run)


def run(args: argparse.Namespace) -> int:
    """Find both and write them."""
    import cv2
    import numpy as np

    from vi_fusion_ros.engines.files import write_atomic
    from vi_fusion_ros.thermal import dead_pixels, flat_field

    frames = thermal_frames(args, _FRAMES, _SECONDS)
    _check_alike(frames)
    dead, pattern = dead_pixels(frames), flat_field(frames)
    _check_even(frames, dead)
    if dead.mean() > _MOST_DEAD:
        raise ValueError(
            f"{dead.mean():.0%} of the pixels stand out or never change; is this a view of something even, as the "
            "camera gives it (16 bit, not tone mapped)?"
        )
    pattern[dead] = 0
    for name, image in (("dead_pixels.png", dead.astype(np.uint8) * 255), ("flat_field.tiff", pattern)):
        data = cv2.imencode(Path(name).suffix, image)[1].tobytes()
        write_atomic(args.out / name, data)
    height, width = dead.shape
    print(
        f"{args.out}: {int(dead.sum())} dead pixels of {width}x{height}, fixed pattern of {pattern.std():.2f} counts "
        f"rms, from {len(frames)} frames"
    )
    return 0


def _check_alike(frames: list[Image]) -> None:
    if len(frames) < _LEAST:
        raise ValueError(f"{len(frames)} frames; expected {_LEAST} or more of one view")
    shapes = {(frame.shape, frame.dtype.name) for frame in frames}
    if len(shapes) > 1 or frames[0].ndim != 2:
        raise ValueError("the frames are not of one size, depth and channel; expected those of a thermal camera")


def _check_even(frames: list[Image], dead: npt.NDArray[np.bool_]) -> None:
    import numpy as np

    from vi_fusion_ros.sync.stream_monitor import UNIFORM, scene_structure
    from vi_fusion_ros.thermal import without_dead_pixels

    if float(np.median([scene_structure(without_dead_pixels(frame, dead)) for frame in frames])) >= UNIFORM:
        raise ValueError("the frames show a scene; cover the lens with something of even temperature")
