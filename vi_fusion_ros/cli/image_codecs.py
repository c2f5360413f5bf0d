"""How the commands read the image messages of a bag: by the node's own codec."""

from __future__ import annotations

from vi_fusion_ros.images import compressed, encodings, wire_format
from vi_fusion_ros.sync.stamped_image import Codec

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of image message."""
    return {
        _IMAGE: Codec(encodings.check_image, encodings.decode_image, wire_format.read_image),
        _COMPRESSED: Codec(compressed.check_compressed, compressed.decode_compressed, wire_format.read_compressed),
    }
