"""The messages of video transports, whose packages need not be installed."""

from __future__ import annotations

import array
import importlib
import sys
from typing import Any

from std_msgs.msg import Header

from vi_fusion_ros.images import video, video_encoder

TYPES = {"ffmpeg": video.FFMPEG, "foxglove": video.FOXGLOVE}
"""Types of the messages by what image_transport calls their transport."""


def message_type(transport: str, asked_by: str) -> Any:
    """The class of a transport's messages.

    Args:
        transport: a key of ``TYPES``.
        asked_by: the parameter and its value that ask for it.

    Raises:
        ValueError: its package is not installed; one sentence.
    """
    package, _, name = TYPES[transport].split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError:
        apt = package.replace("_", "-")
        raise ValueError(f"{asked_by} needs the package {package}; install it (apt: ros-$ROS_DISTRO-{apt})") from None


def to_message(kind: Any, header: Header, packet: video_encoder.Packet, size: tuple[int, int]) -> Any:
    """A packet as a message of a video transport.

    Args:
        kind: the class, from ``message_type``.
        header: of the image.
        packet: made of it.
        size: width and height of the image, pixels.
    """
    data = array.array("B", packet.data)
    if "format" in kind.get_fields_and_field_types():
        return kind(timestamp=header.stamp, frame_id=header.frame_id, format="h264", data=data)
    # The name of the encoder: the only form of the encoding that all releases of ffmpeg_image_transport read.
    return kind(
        header=header,
        width=size[0],
        height=size[1],
        encoding=video_encoder.CODEC,
        pts=packet.number,
        flags=int(packet.key),
        is_bigendian=sys.byteorder == "big",
        data=data,
    )
