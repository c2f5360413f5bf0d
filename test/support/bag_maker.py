"""Bags for tests: two cameras with known stamps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.evaluation.streams.bag_output import image_message
from vi_fusion_ros.types import Frame

VISIBLE, THERMAL = "/visible/image", "/thermal/image"
START_NS = 1_700_000_000_000_000_000
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"

Entry = tuple[int, str, np.ndarray]  # stamp, topic, image


def streams(seconds: float, visible_hz: float = 30, thermal_hz: float = 30, deep: bool = False) -> Iterator[Entry]:
    """Two cameras at a moving square, in stamp order; thermal 8 bit, or 16 bit where ``deep``."""
    times = [(n / visible_hz, VISIBLE) for n in range(round(seconds * visible_hz))]
    times += [(n / thermal_hz + 0.003, THERMAL) for n in range(round(seconds * thermal_hz))]
    for second, topic in sorted(times):
        yield START_NS + round(second * 1e9), topic, picture(second, topic, deep)


def picture(second: float, topic: str, deep: bool) -> np.ndarray:
    rng = np.random.default_rng(7)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (96, 128), dtype=np.uint8), (0, 0), 2)
    left = round(20 * second) % 90
    if topic == VISIBLE:
        image = cv2.cvtColor(texture, cv2.COLOR_GRAY2BGR)
        image[20:50, left : left + 20] //= 2
        return image
    texture = texture[::-1].copy()
    texture[20:50, left : left + 20] = 250
    return (texture.astype(np.uint16) * 40 + 27000) if deep else texture


def write_bag(
    path: Path, entries: Iterable[Entry], storage: StoragePlugin = StoragePlugin.MCAP, compressed: bool = False
) -> Path:
    """Write a bag whose log times are 5 ms after the stamps, and rise even where stamps step back or are zero."""
    log_ns = START_NS
    with Writer(path, version=9, storage_plugin=storage) as writer:
        kind = COMPRESSED if compressed else RAW
        connections = {topic: writer.add_connection(topic, kind, typestore=typestore()) for topic in (VISIBLE, THERMAL)}
        for stamp, topic, image in entries:
            message = compressed_message(image, stamp) if compressed else raw_message(image, stamp)
            log_ns = max(log_ns + 1_000_000, stamp + 5_000_000)
            writer.write(connections[topic], log_ns, typestore().serialize_cdr(message, kind))
    return path


def raw_message(image: np.ndarray, stamp: int) -> Any:
    if image.dtype == np.uint8:
        return image_message(image, Frame(image, stamp, "camera"))
    message = image_message(image.view(np.uint8), Frame(image, stamp, "camera"))
    message.encoding, message.width = "mono16", image.shape[1]
    return message


def compressed_message(image: np.ndarray, stamp: int) -> Any:
    raw = raw_message(image, stamp)
    data = cv2.imencode(".png", image)[1]
    encoding = "mono16" if image.dtype == np.uint16 else "bgr8"
    return typestore().types[COMPRESSED](raw.header, f"{encoding}; png compressed {encoding}", data.reshape(-1))
