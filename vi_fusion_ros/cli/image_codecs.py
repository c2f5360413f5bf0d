"""How the commands read the image messages of a bag: by the node's own codec."""

from __future__ import annotations

from typing import Any

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.images import encodings, wire_format
from vi_fusion_ros.sync.stamped_image import Codec

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of image message."""
    return {
        _IMAGE: Codec(encodings.check_image, encodings.decode_image, _read_image),
        _COMPRESSED: Codec(encodings.check_compressed, encodings.decode_compressed, wire_format.read_compressed),
    }


def _read_image(data: bytes | memoryview) -> Any:
    message = wire_format.read_image(data)
    if message.encoding in encodings.PLAIN_ENCODINGS:
        return message
    return typestore().deserialize_cdr(data, _IMAGE)  # cv_bridge wants a message of its own kind
