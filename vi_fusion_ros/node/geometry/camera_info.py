"""CameraInfo: the lens that one describes, the size of its images, and which one belongs to an image."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from vi_fusion_ros.images.framing import Framing
from vi_fusion_ros.registration.info_lens import PINHOLE, image_size, lens_of_info
from vi_fusion_ros.registration.rig import Camera as Lens
from vi_fusion_ros.registration.rig import Matrix, Size

_KEPT = 300  # messages: those of the images that wait for a partner or for the worker, at any rate of a camera
_STAMP, _BEHIND_STAMP = 4, 12  # bytes: behind the head of CDR lie seconds and nanoseconds
_LITTLE_ENDIAN = 1  # the last bit of the second byte of CDR


class CameraInfos:
    """Takes the serialised CameraInfos of one camera and says which belongs to an image. Thread-safe.

    Args:
        on_change: called with each one that differs from the last in more than the stamp, converted.
        framing: of the images; what is given out is for framed ones.
    """

    def __init__(self, on_change: Callable[[CameraInfo], None], framing: Framing | None = None) -> None:
        self._on_change, self._framing = on_change, framing or Framing()
        self._lock = threading.Lock()
        self._content = b""
        self._by_stamp: OrderedDict[int, CameraInfo] = OrderedDict()
        self._latest: CameraInfo | None = None

    def __call__(self, wire: bytes) -> None:
        """Take in a message."""
        content = wire[_BEHIND_STAMP:]
        changed = self._latest is None or content != self._content
        message = framed_info(deserialize_message(wire, CameraInfo), self._framing) if changed else self._latest
        seconds, nanoseconds = struct.unpack_from("<iI" if wire[1] & _LITTLE_ENDIAN else ">iI", wire, _STAMP)
        with self._lock:
            self._content, self._latest = content, message
            self._by_stamp.pop(seconds * 10**9 + nanoseconds, None)  # the order is that of arrival, also after a jump
            self._by_stamp[seconds * 10**9 + nanoseconds] = message
            if len(self._by_stamp) > _KEPT:
                self._by_stamp.popitem(last=False)
        if changed:
            self._on_change(message)

    def of(self, stamp_ns: int, size: Size) -> CameraInfo | None:
        """The CameraInfo of an image with this stamp and (width, height); None where none can be its.

        The one with the same stamp; the contents of the others may differ, as where a lens zooms. Some drivers stamp
        image and CameraInfo apart, send it once, or after the image: then the latest one for images of the same size
        stands in, for one of another size would be wrong for certain.
        """
        with self._lock:
            if stamp_ns in self._by_stamp:
                return self._by_stamp[stamp_ns]
            return next((info for info in reversed(self._by_stamp.values()) if image_size(info) == size), None)


def lens_of(info: CameraInfo, rectified: bool) -> tuple[Lens, Size]:
    """As ``lens_of_info``, of a camera whose place TF has to know.

    Raises:
        ValueError: as there, or the message names no frame; one sentence.
    """
    found = lens_of_info(info, rectified)
    if not info.header.frame_id:
        raise ValueError("frame_id is empty; expected that of the camera's optical frame")
    return found


def framed_info(info: CameraInfo, framing: Framing) -> CameraInfo:
    """The CameraInfo of framed images; ``info`` itself where they stay as they are, or where it does not fit them.

    Region and binning are in the matrices then. R is between frames that are turned as the images are;
    ``frame_id`` stays, and stands for the frame that is turned about its optical axis.

    Args:
        info: of the images as received, rows of telemetry included.
        framing: of the images.
    """
    size = image_size(info)
    try:
        width, height = framing.size(size)
    except ValueError:  # a driver that never filled it in
        return info
    if framing.changes_nothing:
        return info
    roi, binning = info.roi, np.diag([1 / max(info.binning_x, 1), 1 / max(info.binning_y, 1), 1.0])
    offset = np.eye(3)
    if roi.width and roi.height:
        offset[:2, 2] = -roi.x_offset, -roi.y_offset
    to_image = binning @ offset
    k = framing.matrix(to_image @ np.array(info.k, np.float64).reshape(3, 3), size)
    p = framing.matrix(to_image @ np.array(info.p, np.float64).reshape(3, 4), size)
    r = framing.turn @ np.array(info.r, np.float64).reshape(3, 3) @ framing.turn.T
    radial = info.distortion_model not in PINHOLE
    return CameraInfo(
        header=info.header,
        width=width,
        height=height,
        distortion_model=info.distortion_model,
        d=list(info.d) if radial else framing.distortion(info.d),
        k=k.reshape(-1),
        r=r.reshape(-1),
        p=p.reshape(-1),
    )


def rectification(info: CameraInfo, rectified: bool) -> Matrix:
    """The rotation from the camera's frame to that of its images, (3, 3).

    ``frame_id`` names the frame of the camera as it is mounted, which is what TF and K are for. Rectified images of a
    stereo camera are those of a camera turned by R: a point X of the frame is at P R X. A monocular camera has no R,
    and drivers whose frame is that of the rectified images say so by the identity.

    Args:
        info: the message.
        rectified: whether the images have their distortion taken out; without that they are not turned either.

    Raises:
        ValueError: R is no rotation; one sentence.
    """
    matrix = np.array(info.r, np.float64).reshape(3, 3)
    if not (rectified and matrix.any()):  # all zeros: not filled in
        return np.eye(3)
    if not (np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-3) and np.linalg.det(matrix) > 0):
        raise ValueError("R is no rotation; expected the rectification matrix, or zeros where there is none")
    return matrix
