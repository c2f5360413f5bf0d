"""How the image messages of each type are read, live and from bags alike."""

from __future__ import annotations

from functools import partial

from vi_fusion_ros.images import compressed, encodings, video, wire_format
from vi_fusion_ros.sync.stamped_image import Codec

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"

_STATELESS = {
    IMAGE: Codec(encodings.check_image, encodings.decode_image, wire_format.read_image),
    COMPRESSED: Codec(compressed.check_compressed, compressed.decode_compressed, wire_format.read_compressed),
}


def codec_of(kind: str) -> Codec:
    """What reads the messages of one topic; a new one for each, as video has a past.

    Args:
        kind: their type: ``IMAGE``, ``COMPRESSED`` or a key of ``video.PACKETS``.
    """
    return _STATELESS.get(kind) or Codec(video.check, video.decode, video.VideoReader(kind))


def image_codecs() -> dict[str, Codec]:
    """A codec for each type of message that stands for itself."""
    return dict(_STATELESS)


def stream_codecs() -> dict[str, Codec]:
    """The same and video, for what reads each topic from its beginning, in order."""
    of_video = {kind: codec_of(kind)._replace(of_topic=partial(codec_of, kind)) for kind in video.PACKETS}
    return {**image_codecs(), **of_video}
