"""An image with its stamp, not yet decoded: what goes from a subscription or a bag to the pairing and on to fusing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from vi_fusion_ros.types import Camera, Frame, Image


class Codec(NamedTuple):
    """How one type of image message is read.

    Attributes:
        check: raises ValueError where the message contradicts itself; looks at no pixel.
        decode: the message's pixels; raises ValueError where it cannot.
        read: the message of its serialised form, faster than by its definition; None where there is no such way.
        of_topic: makes the codec of one topic, where messages need those before them; None: this one serves all.
    """

    check: Callable[[Any], None]
    decode: Callable[[Any], Image]
    read: Callable[[bytes | memoryview], Any] | None = None
    of_topic: Callable[[], Codec] | None = None


@dataclass(frozen=True, eq=False)
class StampedImage:
    """An image message that has been checked. Decoded only once it is used: what pairing drops costs nothing.

    Attributes:
        camera: that it is of.
        message: shaped like ``sensor_msgs/Image`` or ``CompressedImage``.
        codec: reads it.
        stamp_ns: its stamp, nanoseconds: as received, or of another stamp source.
        arrival_ns: when it arrived, nanoseconds on a clock that never steps back.
    """

    camera: Camera
    message: Any
    codec: Codec
    stamp_ns: int
    arrival_ns: int = 0

    @classmethod
    def checked(cls, camera: Camera, message: Any, codec: Codec, arrival_ns: int = 0) -> StampedImage:
        """Check a message, once and for all.

        Raises:
            ValueError: it contradicts itself; one sentence.
        """
        codec.check(message)
        stamp = message.header.stamp
        return cls(camera, message, codec, int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec), arrival_ns)

    def decode(self) -> Frame:
        """The frame.

        Raises:
            ValueError: it cannot be decoded; one sentence.
        """
        return Frame(self.codec.decode(self.message), self.stamp_ns, self.message.header.frame_id)
