"""A rig from topics: lenses from both cameras' CameraInfo, how the cameras lie from TF. docs/registration.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo

from vi_fusion_ros.node.transforms import Transforms
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.rig import Camera as Lens
from vi_fusion_ros.registration.rig import Size
from vi_fusion_ros.registration.warp import Registration
from vi_fusion_ros.sync.health import CAMERAS, Camera

SOURCE = "camera_info"
"""What the parameter ``rig`` is set to for it."""

DEFAULT_PLANE_M = 10.0

_PERIOD_S = 0.2
_SAME = 1e-6  # entries of the homography; what changes less is noise of TF
_PINHOLE = ("plumb_bob", "rational_polynomial", "")
_KEEP_TF = 100  # messages; many nodes publish to /tf_static, each once


class LiveRig:
    """Puts a rig in force as soon as both CameraInfos and a transform are there, and again when they change.

    Args:
        node: owns the subscriptions to /tf and /tf_static.
        topics: names of the image topics, for what is said, and because images of ``image_rect…`` have no distortion.
        plane_distance_m: of the plane that the homography is for.
        put_in_force: takes a rig, called by the node's executor.

    Raises:
        ValueError: the package tf2_msgs is missing.
    """

    def __init__(
        self, node: Node, topics: dict[Camera, str], plane_distance_m: float, put_in_force: Callable[[Rig], None]
    ) -> None:
        message_type = require_packages()
        self._node, self._topics, self._put_in_force = node, topics, put_in_force
        self._plane_distance_m = plane_distance_m
        self._infos: dict[Camera, CameraInfo] = {}
        self._transforms = Transforms()
        self._rig: Rig | None = None
        self._news = True
        self.fault = ""
        """What is missing, one sentence; empty while a rig made of the latest messages is in force."""
        static = QoSProfile(depth=_KEEP_TF, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(message_type, "/tf_static", self._on_transforms, static),
            node.create_subscription(message_type, "/tf", self._on_transforms, QoSProfile(depth=_KEEP_TF)),
        ]
        # Not at once: transforms come many at a time, and all of /tf. Simulated time may stand still.
        self._timer = node.create_timer(_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_camera_info(self, camera: Camera, message: CameraInfo) -> None:
        """Take in a CameraInfo that differs from the last one."""
        self._infos[camera] = message
        self._news = True

    def close(self) -> None:
        """Take the subscriptions off the graph."""
        self._node.destroy_timer(self._timer)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_transforms(self, message: Any) -> None:
        self._transforms.add(message.transforms)
        self._news = True

    def _look(self) -> None:
        if not self._news:
            return
        self._news = False
        try:
            rig = self._made()
            changed = self._rig is None or not _alike(rig, self._rig)
            if changed:
                self._require_overlap(rig)
        except ValueError as error:
            if self.fault != str(error):
                self._node.get_logger().warning(f"registration from camera_info: {error}")
            self.fault = str(error)
            return
        self.fault = ""
        if changed:
            self._rig = rig
            self._put_in_force(rig)

    def _made(self) -> Rig:
        lenses: dict[Camera, Lens] = {}
        sizes: dict[Camera, Size] = {}
        for camera in CAMERAS:
            topic = self._topics[camera]
            info = self._infos.get(camera)
            if info is None:
                raise ValueError(f"no camera_info of the {camera} camera yet; it belongs to {topic}")
            try:
                lenses[camera], sizes[camera] = lens_of(info, rectified=_is_rectified(topic))
            except ValueError as error:
                raise ValueError(f"camera_info of the {camera} camera: {error}") from None
        thermal, visible = (self._infos[camera].header.frame_id for camera in ("thermal", "visible"))
        extrinsics = self._transforms.between(visible, thermal)
        if extrinsics is None:
            raise ValueError(
                f"no transform from {thermal} to {visible} on /tf_static or /tf; publish how the cameras lie, or name "
                "a rig file"
            )
        rig = Rig(
            np.eye(3), sizes["thermal"], sizes["visible"], SOURCE, lenses["thermal"], lenses["visible"], extrinsics
        )
        return rig.at(self._plane_distance_m)

    def _require_overlap(self, rig: Rig) -> None:
        assert rig.thermal_size is not None
        assert rig.visible_size is not None
        thermal, visible = (self._infos[camera].header.frame_id for camera in ("thermal", "visible"))
        try:
            overlap = Registration(rig).prepare(rig.thermal_size, rig.visible_size).overlap
        except np.linalg.LinAlgError:  # the plane is seen edge on
            overlap = 0.0
        if overlap == 0:
            raise ValueError(
                f"with the transform from {thermal} to {visible} the cameras see nothing in common at "
                f"{self._plane_distance_m:g} m; are the frame ids those of optical frames (x right, y down, z ahead)?"
            )


def require_packages() -> Any:
    """The class TFMessage.

    Raises:
        ValueError: the package tf2_msgs is missing.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise ValueError(
            f"rig {SOURCE} needs the package tf2_msgs; install it (apt: ros-$ROS_DISTRO-tf2-msgs), or name a rig file"
        ) from None
    return TFMessage


def lens_of(info: CameraInfo, rectified: bool) -> tuple[Lens, Size]:
    """The lens that a CameraInfo describes, and the (width, height) of the images, with region and binning in it.

    Args:
        info: the message.
        rectified: whether the images have their distortion taken out; then P counts, without its fourth column.

    Raises:
        ValueError: it describes no calibrated pinhole camera; one sentence.
    """
    matrix = np.array(info.p, np.float64).reshape(3, 4)[:, :3] if rectified else np.array(info.k).reshape(3, 3)
    name = "P" if rectified else "K"
    if not matrix.any():
        raise ValueError(f"{name} is all zeros, the camera is not calibrated; calibrate it, or name a rig file")
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0 and matrix[2, 2] == 1):
        raise ValueError(f"{name} is no camera matrix; expected fx and fy above 0")
    if not info.header.frame_id:
        raise ValueError("frame_id is empty; expected that of the camera's optical frame")
    if not (info.width and info.height):
        raise ValueError("width and height are 0; expected the size of the images in pixels")
    distortion = np.zeros(5) if rectified else _distortion(info)
    roi, bins = info.roi, np.maximum((info.binning_x, info.binning_y), 1)
    if roi.width and roi.height:
        matrix = matrix - np.array([[0, 0, roi.x_offset], [0, 0, roi.y_offset], [0, 0, 0]])
    width, height = (roi.width or info.width) // bins[0], (roi.height or info.height) // bins[1]
    return Lens(np.diag([1 / bins[0], 1 / bins[1], 1.0]) @ matrix, distortion), (int(width), int(height))


def _distortion(info: CameraInfo) -> Any:
    if info.distortion_model not in _PINHOLE:
        raise ValueError(
            f"distortion_model is '{info.distortion_model}'; expected plumb_bob or rational_polynomial. Rectify the "
            "images first (image_rect), or name a rig file"
        )
    d = np.array(info.d, np.float64)
    if len(d) not in (0, 4, 5, 8) or not np.isfinite(d).all():
        raise ValueError(f"{len(d)} distortion coefficients; expected 0, 4, 5 or 8 finite ones")
    return d if len(d) else np.zeros(5)


def _is_rectified(topic: str) -> bool:
    """By the names that image_pipeline gives: image_rect, image_rect_color, image_rect/compressed."""
    return any(part.startswith("image_rect") for part in topic.split("/"))


def _alike(one: Rig, other: Rig) -> bool:
    """Whether two rigs make the same maps."""
    lenses = (
        np.array_equal(a.matrix, b.matrix) and np.array_equal(a.distortion, b.distortion)
        for a, b in ((one.thermal_camera, other.thermal_camera), (one.visible_camera, other.visible_camera))
        if a is not None and b is not None
    )
    sizes = (one.thermal_size, one.visible_size) == (other.thermal_size, other.visible_size)
    scale = np.abs(other.H_thermal_to_visible).max()
    return sizes and all(lenses) and np.allclose(
        one.H_thermal_to_visible, other.H_thermal_to_visible, rtol=0, atol=_SAME * scale
    )  # fmt: skip
