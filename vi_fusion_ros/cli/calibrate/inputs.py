"""What the ``calibrate`` commands look at: images, folders, videos, a bag or live topics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vi_fusion_ros.types import FramePair, Image

if TYPE_CHECKING:
    from vi_fusion_ros.registration.estimate.time import Motion


class Moment(NamedTuple):
    """A pair of images.

    Attributes:
        name: for reports and file names.
        visible: (H, W) or (H, W, 3) BGR, any depth.
        thermal: the same.
    """

    name: str
    visible: Image
    thermal: Image


def add_inputs(parser: argparse.ArgumentParser, files: str, live: str) -> None:
    """Add the options that say where images come from.

    Args:
        parser: takes them.
        files: which kinds of files it takes, for the help.
        live: how live topics are used, for the help.
    """
    parser.add_argument("--visible", type=Path, metavar="PATH", help=f"{files} of the visible camera")
    parser.add_argument("--thermal", type=Path, metavar="PATH", help="the same of the thermal camera")
    parser.add_argument(
        "--bag", type=Path, metavar="BAG", help="rosbag2 folder or file, in place of --visible, --thermal"
    )
    parser.add_argument("--live", action="store_true", help=f"live topics in their place: {live}")
    parser.add_argument("--visible-topic", metavar="TOPIC", help="of visible images, raw or …/compressed")
    parser.add_argument("--thermal-topic", metavar="TOPIC", help="the same of the thermal camera")


def moments(args: argparse.Namespace, most: int, every_s: float) -> Iterator[Moment]:
    """At most so many pairs, spread evenly over files and bags; of live topics one every so many seconds.

    Raises:
        ValueError: the options contradict each other, or nothing can be read from what they name.
    """
    kind = _kind(args)
    if kind == "bag":
        yield from _from_bag(args.bag, _topics(args), most)
    elif kind == "live":
        yield from _from_topics(_topics(args), most, every_s)
    else:
        yield from _from_files(args.visible, args.thermal, most)


def motions(args: argparse.Namespace, seconds: float) -> tuple[Motion, Motion]:
    """The motion in two videos or folders, in a bag, or in live topics during some seconds: visible and thermal.

    Images that cannot be read are left out. Those of folders have the times that their names or a file say; where there
    are none, they are taken as so many a second, which is said.

    Raises:
        ValueError: the options contradict each other, or nothing can be read from what they name.
    """
    from vi_fusion_ros.registration.estimate.time import Motion

    kind, found = _kind(args), {"visible": Motion(), "thermal": Motion()}
    if kind == "live":
        from vi_fusion_ros.tools.live_images import live_frames

        live_frames(_topics(args), seconds, lambda camera, frame: found[camera].add(frame.stamp_ns / 1e9, frame.image))
    elif kind == "bag":
        for camera, topic in _topics(args).items():
            for stamp_s, image in _bag_frames(args.bag, topic):
                found[camera].add(stamp_s, image)
    else:
        clips = [_Timed(getattr(args, camera)) for camera in found]
        of_one_clock = all(clip.stamped for clip in clips)
        for camera, clip in zip(found, clips, strict=True):
            for time_s, image in clip.frames(of_one_clock):
                found[camera].add(time_s, image)
    return found["visible"], found["thermal"]


class _Timed:
    """A video or a folder whose frames have times.

    Args:
        path: of it.

    Raises:
        ValueError: it cannot be read, or a folder's times are wrong.
    """

    def __init__(self, path: Path) -> None:
        from vi_fusion_ros.sources.folder_stamps import stamped_images

        self._path = path
        self.stamped = stamped_images(path) if path.is_dir() else None
        """Times and paths, of a folder that has some."""

    def frames(self, of_one_clock: bool) -> Iterator[tuple[float, Image]]:
        """Time in seconds and image of each frame that can be read.

        Args:
            of_one_clock: whether the other camera is a folder with times, too. Other clips count from their first
                frame, and so does a folder beside them.
        """
        from vi_fusion_ros.images.files import read_image

        if self.stamped is None:
            if self._path.is_dir():
                _say(f"{self._path}: neither names nor a file times.txt give times; taken as 30 images a second")
            yield from _frames(self._path)
            return
        first_s = self.stamped[0][0]
        if not of_one_clock:
            _say(f"{self._path}: the other camera has no such times; counted from its first image")
        for time_s, path in self.stamped:
            try:
                image = read_image(path)
            except ValueError as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            yield (time_s if of_one_clock else time_s - first_s), image


def thermal_frames(args: argparse.Namespace, most: int, seconds: float) -> list[Image]:
    """Frames of the thermal camera alone: the first ones of a file or bag, or of a live topic during some seconds.

    Returns:
        (H, W) each, of any depth; colour images become grey.

    Raises:
        ValueError: the options contradict each other, or nothing can be read from what they name.
    """
    from vi_fusion_ros.images.files import to_grey

    kind = _kind(args, ("thermal",))
    frames: list[Image] = []
    if kind == "live":
        from vi_fusion_ros.tools.live_images import live_frames

        live_frames({"thermal": args.thermal_topic}, seconds, lambda _camera, frame: frames.append(frame.image))
        if not frames:
            raise ValueError(f"no image on {args.thermal_topic} within {seconds:g} s; is it published?")
        return [to_grey(frame) for frame in frames[:most]]
    source = _bag_frames(args.bag, args.thermal_topic) if kind == "bag" else _frames(args.thermal)
    return [to_grey(image) for _, image in islice(source, most)]


def _frames(path: Path) -> Iterator[tuple[float, Image]]:
    """Time in seconds and image of each frame of a video or folder that can be read."""
    from vi_fusion_ros.sources.streams import open_clip

    clip = open_clip(path)
    for note in clip.notes:
        _say(note)
    for time_s, image in clip:
        if isinstance(image, ValueError):
            print(f"left out: {image}", file=sys.stderr)
        else:
            yield time_s, image


def _say(note: str) -> None:
    print(f"vi-fusion: {note}", file=sys.stderr)


def _kind(args: argparse.Namespace, cameras: Sequence[str] = ("visible", "thermal")) -> str:
    files = [getattr(args, camera) is not None for camera in cameras]
    given = [any(files), args.bag is not None, args.live]
    if sum(given) != 1:
        raise ValueError(f"give one of: {' and '.join(f'--{camera}' for camera in cameras)}, --bag, --live")
    if given[0] and not all(files):
        raise ValueError("--visible and --thermal belong together; give both")
    if not given[0] and not all(getattr(args, f"{camera}_topic") for camera in cameras):
        topics, verb = " and ".join(f"--{camera}-topic" for camera in cameras), "is" if len(cameras) == 1 else "are"
        raise ValueError(f"{topics} {verb} needed with --bag and --live")
    return ("files", "bag", "live")[given.index(True)]


def _topics(args: argparse.Namespace) -> dict[Any, str]:
    return {"visible": args.visible_topic, "thermal": args.thermal_topic}


def _from_files(visible: Path, thermal: Path, most: int) -> Iterator[Moment]:
    from vi_fusion_ros.cli.fuse.inputs import open_pairs

    source = open_pairs(visible, thermal)
    for note in source.notes:
        _say(note)
    every = -(-source.total // most)
    fault, given = "", 0
    for number, item in enumerate(source):
        if number % every:
            continue
        try:
            pair = item.load()
        except ValueError as error:
            fault = f"{item.name}: {error}"
            print(f"left out: {fault}", file=sys.stderr)
            continue
        given += 1
        yield from _moment(item.name, pair)
    if not given:
        raise ValueError(f"no pair of {visible} and {thermal} can be used; {fault}")


def _from_bag(path: Path, topics: dict[Any, str], most: int) -> Iterator[Moment]:
    from vi_fusion_ros.bags.replay import Replay
    from vi_fusion_ros.bags.source import open_bag
    from vi_fusion_ros.image_codecs import image_codecs

    with closing(open_bag(path)) as source:
        replay = Replay(source, topics["visible"], topics["thermal"], image_codecs())
        every = -(-replay.expected_pairs // most)
        for number, decoded in enumerate(replay.pairs()):
            if number % every == 0:
                yield from _moment(f"{number:06d}", decoded.pair)


def _from_topics(topics: dict[Any, str], most: int, every_s: float) -> Iterator[Moment]:
    from vi_fusion_ros.tools.live_images import live_pairs

    for number, pair in enumerate(live_pairs(topics, most, every_s)):
        print(f"pair {number + 1} of {most}", flush=True)
        yield from _moment(f"{number:06d}", pair)


def _moment(name: str, pair: FramePair) -> Iterator[Moment]:
    if pair.visible is not None and pair.thermal is not None:
        yield Moment(name, pair.visible.image, pair.thermal.image)


def _bag_frames(path: Path, topic: str) -> Iterator[tuple[float, Image]]:
    """Stamp in seconds and image of each message that can be read."""
    from vi_fusion_ros.bags.replay import reader_of
    from vi_fusion_ros.bags.source import BagError, open_bag
    from vi_fusion_ros.image_codecs import image_codecs

    codecs = image_codecs()
    with closing(open_bag(path)) as source:
        kind = source.topics.get(topic, "")
        if kind not in codecs:
            images = sorted(name for name, type_ in source.topics.items() if type_ in codecs)
            raise BagError(f"{path} has no images on {topic}; its image topics are: {', '.join(images) or 'none'}")
        read = reader_of(kind, codecs[kind])
        for record in source.records([topic]):
            try:
                message = read(record.data)
                codecs[kind].check(message)
                image = codecs[kind].decode(message)
            except Exception:  # damaged data makes the deserialiser raise whatever it stumbles over
                continue
            stamp = message.header.stamp
            yield int(stamp.sec) + int(stamp.nanosec) / 1e9, image
