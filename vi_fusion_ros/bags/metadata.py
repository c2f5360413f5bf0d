"""What ``metadata.yaml`` says of a bag that its files do not say themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from vi_fusion_ros.yaml_files import read_yaml

NAME = "metadata.yaml"

_MAX_BYTES = 2**24  # a bag of thousands of files lists them all


@dataclass(frozen=True)
class Metadata:
    """Which files there are, and how much is in them.

    Attributes:
        files: their names, in the order of recording.
        counts: messages by topic.
    """

    files: tuple[str, ...]
    counts: dict[str, int]


def read_metadata(folder: Path) -> Metadata:
    """Read the ``metadata.yaml`` of a bag.

    Raises:
        ValueError: it is missing, empty or not that of a bag; one sentence.
    """
    if not (folder / NAME).exists():
        raise ValueError(f"{NAME} is missing")
    content = read_yaml(folder / NAME, "metadata", _MAX_BYTES)
    if content is None:
        raise ValueError(f"{NAME} is empty")
    try:
        about = content["rosbag2_bagfile_information"]
        counts: dict[str, int] = {}
        for entry in about["topics_with_message_count"]:
            name = str(entry["topic_metadata"]["name"])
            counts[name] = counts.get(name, 0) + int(entry["message_count"])
        # Bags of early releases say where the folder was, too.
        return Metadata(tuple(PurePath(str(path)).name for path in about["relative_file_paths"]), counts)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{NAME} is not that of a rosbag2 ({type(error).__name__}: {error})") from error
