"""How the commands read the image messages of a bag: by the node's own codec."""

from __future__ import annotations

from vi_fusion_ros.bags.intake import Codec
from vi_fusion_ros.ros import image_codec


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of image message."""
    return {
        "sensor_msgs/msg/Image": Codec(image_codec.check_image, image_codec.decode_image),
        "sensor_msgs/msg/CompressedImage": Codec(image_codec.check_compressed, image_codec.decode_compressed),
    }
