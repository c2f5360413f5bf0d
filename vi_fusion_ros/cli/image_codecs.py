"""How the commands read the image messages of a bag: by the node's own codec."""

from __future__ import annotations

from functools import partial

from vi_fusion_ros.images import compressed, encodings, video, wire_format
from vi_fusion_ros.sync.stamped_image import Codec

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of image message."""
    return {
        _IMAGE: Codec(encodings.check_image, encodings.decode_image, wire_format.read_image),
        _COMPRESSED: Codec(compressed.check_compressed, compressed.decode_compressed, wire_format.read_compressed),
    }


def stream_codecs() -> dict[str, Codec]:
    """The same and video, for what reads each topic from its beginning, in order."""
    of_video = {kind: _video_codec(kind)._replace(of_topic=partial(_video_codec, kind)) for kind in video.PACKETS}
    return {**image_codecs(), **of_video}


def _video_codec(kind: str) -> Codec:
    return Codec(video.check, video.decode, video.VideoReader(kind))
