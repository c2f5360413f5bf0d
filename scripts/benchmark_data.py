#!/usr/bin/env python3
"""Lay out what docs/benchmarks/README.md measures on: scripts/benchmark_data.py DATA OUT.

DATA holds roadscene_dev.zip, msrs_frames.zip, flir_crops_train.zip, m3svd_stills.zip, m3svd/*.mp4 and the CSV of peers,
which is copied to OUT beside the test parts of config/training/default.yaml:
``roadscene`` (sorted frames 101 to 144), ``msrs`` (three blocks), ``m3svd`` (stills of two scenes), ``crops`` (two
blocks), and ``CLIP.mcap``, a bag of each video pair. What is there already is left alone.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from vi_fusion_ros.bags.writer import BagWriter
from vi_fusion_ros.cli.fuse.inputs import open_pairs
from vi_fusion_ros.evaluation.streams.bag_output import image_message

FIRST_FRAME, LAST_FRAME = 101, 144
CROPS = ((4500, 5000), (7500, 8863))
MSRS = ((404, 471), (1000, 1081), (1527, 1604))
SCENES = ("0114_1609", "0115_1847")
PEERS = "fusion_peers_roadscene_dev.csv"
_START_NS = 1_700_000_000_000_000_000  # the recordings' own times are not known


def main(arguments: list[str]) -> int:
    """Make what is missing."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    data, out = map(Path, arguments)
    unpack(data / "roadscene_dev.zip", out / "roadscene", frames(data / "roadscene_dev.zip"))
    unpack(data / "msrs_frames.zip", out / "msrs", in_ranges(MSRS))
    unpack(data / "flir_crops_train.zip", out / "crops", in_ranges(CROPS))
    unpack(data / "m3svd_stills.zip", out / "m3svd", lambda name: Path(name).parent.name in SCENES)
    peers = out / PEERS
    if not peers.exists():
        shutil.copyfile(data / PEERS, peers)
    for visible in sorted((data / "m3svd").glob("*_visible.mp4")):
        clip = visible.stem.removesuffix("_visible")
        record(visible, visible.with_name(f"{clip}_thermal.mp4"), out / f"{clip}.mcap")
    return 0


def in_ranges(ranges: tuple[tuple[int, int], ...]) -> Callable[[str], bool]:
    """Whether the number that a file's name begins with lies in one of the half-open ranges; tables are kept whole."""

    def wanted(name: str) -> bool:
        digits = "".join(itertools.takewhile(str.isdigit, Path(name).stem))
        return name.endswith(".csv") or (bool(digits) and any(low <= int(digits) < high for low, high in ranges))

    return wanted


def frames(archive: Path) -> Callable[[str], bool]:
    """Whether a file belongs to the frames that models are tested on."""
    with zipfile.ZipFile(archive) as files:
        stems = sorted({Path(name).stem for name in files.namelist() if name.startswith("visible/")} - {"visible"})
    chosen = set(stems[FIRST_FRAME - 1 : LAST_FRAME])
    return lambda name: (
        name == "frames.json" or (name.startswith(("visible/", "thermal/")) and Path(name).stem in chosen)
    )


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool]) -> None:
    """Unpack the wanted files of an archive into a folder that does not exist yet."""
    if folder.exists():
        return
    with zipfile.ZipFile(archive) as files:
        files.extractall(folder, [name for name in files.namelist() if not name.endswith("/") and wanted(name)])
    print(folder)


def record(visible: Path, thermal: Path, bag: Path) -> None:
    """Write a video pair as a bag, /visible/image and /thermal/image, frame n at n / rate."""
    if bag.exists():
        return
    with BagWriter(bag) as writer:
        for item in open_pairs(visible, thermal):
            pair = item.load()
            for topic, frame in (("/visible/image", pair.visible), ("/thermal/image", pair.thermal)):
                assert frame is not None
                moved = type(frame)(frame.image, frame.stamp_ns + _START_NS, "camera")
                message = image_message(frame.image, moved)
                writer.write(topic, "sensor_msgs/msg/Image", moved.stamp_ns, message)
    print(bag)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
