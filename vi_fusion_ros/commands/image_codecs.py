"""How the commands read the image messages of a bag: by the node's own codec."""

from __future__ import annotations

from typing import Any

from vi_fusion_ros.bags.intake import Codec
from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.ros import cdr, image_codec

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of image message."""
    return {
        _IMAGE: Codec(image_codec.check_image, image_codec.decode_image, _read_image),
        _COMPRESSED: Codec(image_codec.check_compressed, image_codec.decode_compressed, cdr.read_compressed),
    }


def _read_image(data: bytes | memoryview) -> Any:
    message = cdr.read_image(data)
    if message.encoding in image_codec.PLAIN_ENCODINGS:
        return message
    return typestore().deserialize_cdr(data, _IMAGE)  # cv_bridge wants a message of its own kind
